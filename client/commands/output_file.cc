#include "commands/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "local/write_error.h"

namespace histeq::client {
namespace {

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
    if (S_ISDIR(file.st_mode)) return NotWritten(path, EISDIR);
    if (!IsDevice(file) && !overwrite) return Exists(path);
    return absl::OkStatus();
  }
  if (errno == ENOENT && lstat(path.c_str(), &file) == 0 && !overwrite) return Exists(path);
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (access(folder.c_str(), W_OK | X_OK) != 0) return NotWritten(path, errno);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<OutputFile>> OutputFile::Create(const std::string& path,
                                                               bool overwrite) {
  HISTEQ_RETURN_IF_ERROR(CheckOutput(path, overwrite));
  std::unique_ptr<OutputFile> output(new OutputFile(path, overwrite));
  struct stat file;
  if (stat(path.c_str(), &file) == 0 && IsDevice(file)) {
    output->descriptor_ = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (output->descriptor_ < 0) return NotWritten(path, errno);
    return output;
  }
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  HISTEQ_ASSIGN_OR_RETURN(output->file_, MadeFile::CreateIn(folder, path));
  return output;
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::Status OutputFile::Write(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        write(file_ != nullptr ? file_->descriptor() : descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return NotWritten(path_, errno);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status OutputFile::Commit() {
  // Some file systems tell of a full disk when a file is closed.
  const int again = file_ != nullptr ? dup(file_->descriptor()) : std::exchange(descriptor_, -1);
  if (again < 0 || close(again) != 0) return NotWritten(path_, errno);
  return file_ != nullptr ? file_->GiveName(path_, overwrite_) : absl::OkStatus();
}

}  // namespace histeq::client
