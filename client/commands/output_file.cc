#include "commands/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "api/random_id.h"
#include "base/error.h"
#include "base/status_macros.h"

namespace histeq::client {
namespace {

absl::Status NotWritable(const std::string& path, int error,
                         absl::StatusCode code = absl::StatusCode::kFailedPrecondition) {
  return base::MakeError(
      code,
      path + " cannot be written: " + std::error_code(error, std::generic_category()).message(),
      {.reason = "OUTPUT_NOT_WRITABLE"});
}

absl::Status Exists(const std::string& path) {
  return base::MakeError(absl::StatusCode::kAlreadyExists,
                         path + " exists already; --force replaces it",
                         {.reason = "OUTPUT_EXISTS"});
}

bool IsDevice(const struct stat& file) {
  return S_ISCHR(file.st_mode) || S_ISFIFO(file.st_mode) || S_ISBLK(file.st_mode);
}

}  // namespace

absl::Status CheckOutput(const std::string& path, bool overwrite) {
  struct stat file;
  if (stat(path.c_str(), &file) == 0) {
    if (S_ISDIR(file.st_mode)) return NotWritable(path, EISDIR);
    if (!IsDevice(file) && !overwrite) return Exists(path);
    return absl::OkStatus();
  }
  if (errno == ENOENT && lstat(path.c_str(), &file) == 0 && !overwrite) return Exists(path);
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (access(folder.c_str(), W_OK | X_OK) != 0) return NotWritable(path, errno);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<OutputFile>> OutputFile::Create(const std::string& path,
                                                               bool overwrite) {
  HISTEQ_RETURN_IF_ERROR(CheckOutput(path, overwrite));
  std::unique_ptr<OutputFile> output(new OutputFile(path, overwrite));
  struct stat file;
  if (stat(path.c_str(), &file) == 0 && IsDevice(file)) {
    output->descriptor_ = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (output->descriptor_ < 0) return NotWritable(path, errno);
    return output;
  }
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  // The name stays out of it: with more in front it could become too long.
  const std::string temporary = folder + ".histeq-" + RandomId() + ".part";
  output->descriptor_ = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (output->descriptor_ < 0) return NotWritable(path, errno);
  output->temporary_ = temporary;
  return output;
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

absl::Status OutputFile::Write(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return NotWritable(path_, errno, absl::StatusCode::kResourceExhausted);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status OutputFile::Commit() {
  const int descriptor = descriptor_;
  descriptor_ = -1;
  // Some file systems tell of a full disk here.
  if (close(descriptor) != 0) {
    return NotWritable(path_, errno, absl::StatusCode::kResourceExhausted);
  }
  if (temporary_.empty()) return absl::OkStatus();
  if (overwrite_) {
    if (rename(temporary_.c_str(), path_.c_str()) != 0) return NotWritable(path_, errno);
    temporary_.clear();
    return absl::OkStatus();
  }
  // A file that came meanwhile stays.
  if (renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) == 0) {
    temporary_.clear();
    return absl::OkStatus();
  }
  if (errno == EEXIST) return Exists(path_);
  // Not every file system can do that; a second name can be given on most others.
  if (link(temporary_.c_str(), path_.c_str()) != 0) {
    return errno == EEXIST ? Exists(path_) : NotWritable(path_, errno);
  }
  return absl::OkStatus();
}

}  // namespace histeq::client
