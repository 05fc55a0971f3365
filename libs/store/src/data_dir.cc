#include "store/data_dir.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "base/status_macros.h"

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

// 0 or an errno.
int SyncFolder(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  return error;
}

// Without its catalog every blob looks like an orphan, and the sweep would delete them all.
absl::Status CheckCatalogIsThere(const DataDir& data_dir) {
  std::error_code error;
  if (std::filesystem::file_size(data_dir.catalog_file(), error) > 0 && !error) {
    return absl::OkStatus();
  }
  error.clear();
  for (std::filesystem::recursive_directory_iterator it(data_dir.blob_folder(), error), end;
       !error && it != end; it.increment(error)) {
    if (it->is_directory(error) || error) continue;
    return base::MakeError(
        absl::StatusCode::kFailedPrecondition,
        fmt::format("data folder {} has images but no catalog: put back {}, or give another folder",
                    data_dir.path(), data_dir.catalog_file()),
        {.reason = "CATALOG_MISSING", .metadata = {{"path", data_dir.catalog_file()}}});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataDir>> DataDir::Open(const std::string& path) {
  if (path.empty()) return Unusable("\"\"", "the path is empty", EINVAL);
  const bool made = mkdir(path.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) return Unusable(path, "cannot be made", errno);
  // A folder that a power cut takes away would take along what was acknowledged in it. A parent
  // that may not be read is left to who made the folder.
  if (const int error = SyncFolder(path + "/.."); error != 0 && (made || error != EACCES)) {
    return Unusable(path, "cannot be made durable", error);
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
  std::unique_ptr<DataDir> data_dir(new DataDir(path, lock));
  if (const int error = SyncFolder(path); error != 0) {
    return Unusable(path, "cannot be made durable", error);
  }
  HISTEQ_RETURN_IF_ERROR(CheckCatalogIsThere(*data_dir));
  return data_dir;
}

DataDir::~DataDir() { close(lock_); }

}  // namespace histeq::store
