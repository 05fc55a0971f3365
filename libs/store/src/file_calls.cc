#include "file_calls.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "store_error.h"

namespace histeq::store {

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<Fd> FileCalls::Open(const std::string& path, bool create) const {
  const int fault = create ? Fault(FileCall::kCreate) : 0;
  if (fault != 0) return IoError(fault, fmt::format("file {} cannot be made", path));
  const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0);
  const int fd = open(path.c_str(), flags, 0600);
  if (fd < 0) return IoError(errno, fmt::format("file {} cannot be opened", path));
  return Fd(fd);
}

absl::Status FileCalls::WriteAt(const Fd& fd, uint64_t offset, std::span<const uint8_t> bytes,
                                const std::string& path) const {
  while (!bytes.empty()) {
    int error = Fault(FileCall::kWrite);
    ssize_t written = -1;
    if (error == 0) {
      written = pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      error = errno;
    }
    if (written < 0) {
      if (error == EINTR) continue;
      return IoError(error, fmt::format("file {} cannot be written", path), path, bytes.size());
    }
    offset += static_cast<uint64_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status FileCalls::Sync(const Fd& fd, const std::string& path) const {
  int error = Fault(FileCall::kSync);
  if (error == 0 && fdatasync(fd.get()) != 0) error = errno;
  if (error != 0) return IoError(error, fmt::format("file {} cannot be made durable", path));
  return absl::OkStatus();
}

absl::Status FileCalls::Rename(const std::string& from, const std::string& to) const {
  int error = Fault(FileCall::kRename);
  if (error == 0 && rename(from.c_str(), to.c_str()) != 0) error = errno;
  if (error != 0) return IoError(error, fmt::format("file {} cannot be renamed to {}", from, to));
  return absl::OkStatus();
}

absl::Status FileCalls::SyncFolder(const std::string& folder) const {
  int error = Fault(FileCall::kSyncFolder);
  if (error == 0) {
    const Fd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.open() || fsync(fd.get()) != 0) error = errno;
  }
  if (error != 0) return IoError(error, fmt::format("folder {} cannot be made durable", folder));
  return absl::OkStatus();
}

absl::StatusOr<size_t> FileCalls::ReadAt(const Fd& fd, uint64_t offset, std::span<uint8_t> buffer,
                                         const std::string& path) {
  size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t got = pread(fd.get(), buffer.data() + done, buffer.size() - done,
                              static_cast<off_t>(offset + done));
    if (got < 0) {
      if (errno == EINTR) continue;
      return IoError(errno, fmt::format("file {} cannot be read", path));
    }
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

absl::Status FileCalls::Truncate(const Fd& fd, uint64_t size, const std::string& path) {
  if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    return IoError(errno, fmt::format("file {} cannot be cut", path));
  }
  return absl::OkStatus();
}

absl::Status FileCalls::MakeHole(const Fd& fd, uint64_t offset, uint64_t size,
                                 const std::string& path) const {
  int error = Fault(FileCall::kHole);
  if (error == 0 && fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              static_cast<off_t>(offset), static_cast<off_t>(size)) != 0) {
    error = errno;
  }
  if (error == EOPNOTSUPP || error == ENOSYS) {
    return absl::UnimplementedError(fmt::format("no holes can be made in file {}", path));
  }
  if (error != 0) return IoError(error, fmt::format("a hole cannot be made in file {}", path));
  return absl::OkStatus();
}

absl::Status FileCalls::Remove(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return IoError(errno, fmt::format("file {} cannot be deleted", path));
  }
  return absl::OkStatus();
}

}  // namespace histeq::store
