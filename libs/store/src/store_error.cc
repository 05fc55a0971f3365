#include "store_error.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace histeq::store {
namespace {
// What an operator mends by making room.
bool IsDiskFull(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }
}  // namespace

absl::Status StoreError(absl::StatusCode code, const std::string& reason, std::string message,
                        std::map<std::string, std::string> metadata) {
  base::ErrorDetail detail;
  detail.reason = reason;
  detail.metadata = std::move(metadata);
  return base::MakeError(code, std::move(message), std::move(detail));
}

absl::Status IoError(int error, const std::string& what) {
  const std::string message = fmt::format("{}: {}", what, strerror(error));
  if (IsDiskFull(error)) {
    return StoreError(absl::StatusCode::kResourceExhausted, "DISK_FULL", message);
  }
  return StoreError(absl::StatusCode::kInternal, "STORE_IO", message,
                    {{"errno", std::to_string(error)}});
}

absl::Status IoError(int error, const std::string& what, const std::string& path,
                     uint64_t needed_bytes) {
  if (!IsDiskFull(error)) return IoError(error, what);
  std::string message =
      fmt::format("{}: {} ({} bytes are needed", what, strerror(error), needed_bytes);
  std::map<std::string, std::string> metadata = {{"actual", std::to_string(needed_bytes)}};
  if (struct statvfs info{}; error == ENOSPC && statvfs(path.c_str(), &info) == 0) {
    const uint64_t free_bytes = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
    message += fmt::format(", {} are free", free_bytes);
    metadata["limit"] = std::to_string(free_bytes);
  }
  return StoreError(absl::StatusCode::kResourceExhausted, "DISK_FULL", message + ")",
                    std::move(metadata));
}

}  // namespace histeq::store
