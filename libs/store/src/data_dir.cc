#include "store/data_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/error.h"

namespace histeq::store {
namespace {

absl::Status Unusable(const std::string& path, const std::string& what, int error) {
  return base::MakeError(absl::StatusCode::kInvalidArgument,
                         fmt::format("data folder {}: {}: {}", path, what, strerror(error)),
                         {.reason = "DATA_DIR_UNUSABLE",
                          .metadata = {{"path", path}},
                          .field = {},
                          .retry_after = {}});
}

std::string ReadPid(int fd) {
  char text[32] = {};
  const ssize_t size = pread(fd, text, sizeof text - 1, 0);
  std::string pid;
  for (ssize_t i = 0; i < size && text[i] >= '0' && text[i] <= '9'; ++i) pid.push_back(text[i]);
  return pid.empty() ? "unknown" : pid;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataDir>> DataDir::Open(const std::string& path) {
  if (path.empty()) return Unusable("\"\"", "the path is empty", EINVAL);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return Unusable(path, "cannot be made", errno);
  }
  const std::string lock_file = path + "/lock";
  const int lock = open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0) return Unusable(path, "cannot make its lock file", errno);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    const std::string pid = ReadPid(lock);
    close(lock);
    if (error != EWOULDBLOCK) return Unusable(path, "cannot be locked", error);
    return base::MakeError(
        absl::StatusCode::kFailedPrecondition,
        fmt::format("data folder {} is in use by process {}: stop that one, or give another folder",
                    path, pid),
        {.reason = "DATA_DIR_LOCKED",
         .metadata = {{"path", path}, {"pid", pid}},
         .field = {},
         .retry_after = {}});
  }
  // For people only; the lock itself is the file's.
  const std::string pid = fmt::format("{}\n", getpid());
  if (ftruncate(lock, 0) != 0 || pwrite(lock, pid.data(), pid.size(), 0) < 0) {
    const int error = errno;
    close(lock);
    return Unusable(path, "is not writable", error);
  }
  return std::unique_ptr<DataDir>(new DataDir(path, lock));
}

DataDir::~DataDir() { close(lock_); }

}  // namespace histeq::store
