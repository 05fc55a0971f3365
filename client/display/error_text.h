#pragma once

#include <string>

#include "absl/status/status.h"

namespace histeq::client {

// A failure on one line: "NOT_AN_IMAGE: the file is not a picture (limit 5, actual 7)". The reason,
// or the code where there is none; facts that the message does not name already. Printable.
std::string ErrorText(const absl::Status& status);

}  // namespace histeq::client
