#pragma once

// A file on this machine that is uploaded.

#include <sys/stat.h>

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace histeq::client {

// A regular file, open for reading. One thread at a time. Movable.
class LocalFile {
 public:
  // - NOT_FOUND FILE_NOT_FOUND, PERMISSION_DENIED FILE_NOT_READABLE.
  // - INVALID_ARGUMENT NOT_A_FILE: a folder, a pipe, a device.
  static absl::StatusOr<LocalFile> Open(const std::string& path);
  ~LocalFile();
  LocalFile(LocalFile&& other) noexcept;
  LocalFile& operator=(LocalFile&&) = delete;

  const std::string& path() const { return path_; }
  // In bytes, when it was opened.
  uint64_t size() const { return static_cast<uint64_t>(opened_.st_size); }

  // Fills `buffer` from `offset`; all of it lies within the file.
  // - FAILED_PRECONDITION FILE_CHANGED: it has become shorter. UNAVAILABLE never; INTERNAL
  //   FILE_NOT_READABLE: the disk fails.
  absl::Status ReadAt(uint64_t offset, std::span<uint8_t> buffer) const;

  // Whether it still has the size and the time of change that it had when it was opened.
  // - FAILED_PRECONDITION FILE_CHANGED.
  absl::Status CheckUnchanged() const;

 private:
  LocalFile(std::string path, int descriptor, const struct stat& opened)
      : path_(std::move(path)), descriptor_(descriptor), opened_(opened) {}

  std::string path_;
  int descriptor_;
  struct stat opened_;
};

// Whether an image may be stored under `name`: 1 to 255 bytes of UTF-8, no slashes or control
// characters, and neither "." nor "..".
// - INVALID_ARGUMENT INVALID_NAME.
absl::Status CheckImageName(const std::string& name);

}  // namespace histeq::client
