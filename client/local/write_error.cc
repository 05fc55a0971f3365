#include "local/write_error.h"

#include <cerrno>
#include <system_error>

#include "base/error.h"

namespace histeq::client {

absl::Status NotWritten(const std::string& path, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return base::MakeError(
      full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kFailedPrecondition,
      path + " cannot be written: " + std::error_code(error, std::generic_category()).message(),
      {.reason = full ? "DISK_FULL" : "OUTPUT_NOT_WRITABLE"});
}

}  // namespace histeq::client
