#include "local/file_sink.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/status_macros.h"
#include "local/write_error.h"

namespace histeq::client {
namespace {

constexpr size_t kBufferBytes = 256 << 10;

}  // namespace

FileSink::FileSink(std::string path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {
  buffer_.reserve(kBufferBytes);
}

absl::Status FileSink::Write(std::span<const uint8_t> bytes) {
  if (bytes.size() < kBufferBytes - buffer_.size()) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return absl::OkStatus();
  }
  HISTEQ_RETURN_IF_ERROR(Flush());
  return WriteAll(bytes);
}

absl::Status FileSink::Flush() {
  HISTEQ_RETURN_IF_ERROR(WriteAll(buffer_));
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status FileSink::WriteAll(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return NotWritten(path_, errno);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

}  // namespace histeq::client
