#pragma once

// What the commands do that make something of many files, here or with services.

#include <vector>

#include "commands/image_flags.h"
#include "commands/operation_flags.h"
#include "commands/session.h"
#include "histeq/v1/operation.pb.h"

namespace histeq::client {

// Makes an equalized copy (`equalize` not null), thumbnails, or both, then the thumbnails are those
// of the copy, of all inputs; says what becomes of them.
ExitCode RunImages(const Session& session, const ImageFlags& flags, const OperationFlags* equalize,
                   std::vector<v1::Thumbnail> thumbnails);

}  // namespace histeq::client
