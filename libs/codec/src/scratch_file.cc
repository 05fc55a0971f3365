#include "codec/scratch_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace histeq::codec {

absl::StatusOr<int> OpenScratchFile(const std::string& directory, int unnamed_error) {
  int fd = -1;
  int error = unnamed_error;
  if (error == 0) {
    fd = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) error = errno;
  }
  // Some file systems (overlays, NFS) and old kernels have no files without a name, and say so in
  // different ways.
  if (fd < 0 && (error == EOPNOTSUPP || error == EISDIR || error == EINVAL || error == ENOENT)) {
    std::string name = directory + "/histeq-scratch-XXXXXX";
    fd = mkostemp(name.data(), O_CLOEXEC);
    error = errno;
    if (fd >= 0) unlink(name.c_str());
  }
  if (fd < 0) return ScratchError("a temporary file cannot be made", directory, 0, error);
  return fd;
}

absl::Status ScratchError(const std::string& what, const std::string& directory,
                          uint64_t needed_bytes, int error) {
  base::ErrorDetail detail;
  detail.metadata["folder"] = directory;
  std::string message = fmt::format("{} in {}: {}", what, directory, std::strerror(error));
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    detail.reason = "DISK_FULL";
    detail.metadata["actual"] = std::to_string(needed_bytes);
    // A quota, or a limit on the file's size, may leave the disk room.
    if (struct statvfs info{}; error == ENOSPC && statvfs(directory.c_str(), &info) == 0) {
      const uint64_t free_bytes = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
      detail.metadata["limit"] = std::to_string(free_bytes);
      message += fmt::format(" ({} bytes are needed, {} are free)", needed_bytes, free_bytes);
    } else {
      message += fmt::format(" ({} bytes are needed)", needed_bytes);
    }
  } else {
    detail.reason = "SCRATCH_FAILED";
  }
  return base::MakeError(absl::StatusCode::kResourceExhausted, std::move(message),
                         std::move(detail));
}

}  // namespace histeq::codec
