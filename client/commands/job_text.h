#pragma once

#include <string>

#include "histeq/v1/image.pb.h"
#include "histeq/v1/job.pb.h"

namespace histeq::client {

// All about a job, or an image: one "name  value" line for each fact that there is. Printable.
std::string JobText(const v1::Job& job);
std::string ImageText(const v1::Image& image);

}  // namespace histeq::client
