#pragma once

#include <string>

#include "absl/status/status.h"

namespace histeq::client {

// A file that cannot be written, for the errno `error`: RESOURCE_EXHAUSTED DISK_FULL, or
// FAILED_PRECONDITION OUTPUT_NOT_WRITABLE.
absl::Status NotWritten(const std::string& path, int error);

}  // namespace histeq::client
