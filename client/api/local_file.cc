#include "api/local_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

std::string ErrorText(int error) {
  return std::error_code(error, std::generic_category()).message();
}

absl::Status Changed() {
  return base::MakeError(absl::StatusCode::kFailedPrecondition,
                         "the file changed while it was being uploaded",
                         {.reason = "FILE_CHANGED"});
}

// Bytes of the UTF-8 sequence at the start of `text`; 0: none.
size_t SequenceBytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < bytes) return 0;
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  if ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F) ||
      (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)) {
    return 0;
  }
  return bytes;
}

}  // namespace

absl::StatusOr<LocalFile> LocalFile::Open(const std::string& path) {
  // Without O_NONBLOCK a pipe would wait for its writer.
  const int descriptor = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) {
    const int error = errno;
    if (error == ENOENT || error == ENOTDIR) {
      return base::MakeError(absl::StatusCode::kNotFound, "no such file",
                             {.reason = "FILE_NOT_FOUND"});
    }
    return base::MakeError(absl::StatusCode::kPermissionDenied,
                           "the file cannot be read: " + ErrorText(error),
                           {.reason = "FILE_NOT_READABLE"});
  }
  LocalFile file(path, descriptor, {});
  if (fstat(descriptor, &file.opened_) != 0 || !S_ISREG(file.opened_.st_mode)) {
    return base::MakeError(
        absl::StatusCode::kInvalidArgument,
        S_ISDIR(file.opened_.st_mode) ? "a folder, not a file" : "not a regular file",
        {.reason = "NOT_A_FILE"});
  }
  return file;
}

LocalFile::LocalFile(LocalFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      opened_(other.opened_) {}

LocalFile::~LocalFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::Status LocalFile::ReadAt(uint64_t offset, std::span<uint8_t> buffer) const {
  while (!buffer.empty()) {
    const ssize_t got =
        pread(descriptor_, buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return base::MakeError(absl::StatusCode::kInternal,
                             "the file cannot be read: " + ErrorText(errno),
                             {.reason = "FILE_NOT_READABLE"});
    }
    if (got == 0) return Changed();
    buffer = buffer.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return absl::OkStatus();
}

absl::Status LocalFile::CheckUnchanged() const {
  struct stat now;
  if (fstat(descriptor_, &now) != 0 || now.st_size != opened_.st_size ||
      now.st_mtim.tv_sec != opened_.st_mtim.tv_sec ||
      now.st_mtim.tv_nsec != opened_.st_mtim.tv_nsec) {
    return Changed();
  }
  return absl::OkStatus();
}

absl::Status CheckImageName(const std::string& name) {
  const auto invalid = [&](const std::string& why) {
    return base::MakeError(absl::StatusCode::kInvalidArgument,
                           "an image cannot have this name: " + why, {.reason = "INVALID_NAME"});
  };
  if (name.empty()) return invalid("it is empty");
  if (name.size() > 255) {
    return invalid(fmt::format("it has {} bytes; at most 255 are allowed", name.size()));
  }
  if (name == "." || name == "..") return invalid("it stands for a folder");
  for (size_t at = 0; at < name.size();) {
    const size_t bytes = SequenceBytes(std::string_view(name).substr(at));
    if (bytes == 0) return invalid("it is not UTF-8");
    const auto first = static_cast<unsigned char>(name[at]);
    const bool c1 = first == 0xC2 && static_cast<unsigned char>(name[at + 1]) < 0xA0;
    if (first < 0x20 || first == 0x7F || c1) return invalid("it contains a control character");
    if (first == '/' || first == '\\') return invalid("it contains a slash");
    at += bytes;
  }
  return absl::OkStatus();
}

}  // namespace histeq::client
