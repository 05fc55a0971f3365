#include "store_error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace histeq::store {

absl::Status StoreError(absl::StatusCode code, const std::string& reason, std::string message,
                        std::map<std::string, std::string> metadata) {
  base::ErrorDetail detail;
  detail.reason = reason;
  detail.metadata = std::move(metadata);
  return base::MakeError(code, std::move(message), std::move(detail));
}

absl::Status IoError(int error, const std::string& what) {
  const std::string message = fmt::format("{}: {}", what, strerror(error));
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return StoreError(absl::StatusCode::kResourceExhausted, "DISK_FULL", message);
    default:
      return StoreError(absl::StatusCode::kInternal, "STORE_IO", message,
                        {{"errno", std::to_string(error)}});
  }
}

}  // namespace histeq::store
