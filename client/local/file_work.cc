#include "local/file_work.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "api/local_file.h"
#include "base/byte_stream.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "local/write_error.h"

namespace histeq::client {
namespace {

constexpr size_t kBufferBytes = 256 << 10;

class FileSource final : public base::ByteSource {
 public:
  explicit FileSource(LocalFile file) : file_(std::move(file)) {}

  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    const uint64_t left = file_.size() - offset_;
    const auto count = static_cast<size_t>(std::min<uint64_t>(buffer.size(), left));
    if (count == 0) return 0;
    HISTEQ_RETURN_IF_ERROR(file_.ReadAt(offset_, buffer.first(count)));
    offset_ += count;
    return count;
  }

  absl::Status CheckUnchanged() const { return file_.CheckUnchanged(); }

 private:
  const LocalFile file_;
  uint64_t offset_ = 0;
};

// Small writes are collected.
class FileSink final : public base::ByteSink {
 public:
  FileSink(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {
    buffer_.reserve(kBufferBytes);
  }

  absl::Status Write(std::span<const uint8_t> bytes) override {
    if (bytes.size() < kBufferBytes - buffer_.size()) {
      buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
      return absl::OkStatus();
    }
    HISTEQ_RETURN_IF_ERROR(Flush());
    return WriteAll(bytes);
  }

  absl::Status Flush() {
    HISTEQ_RETURN_IF_ERROR(WriteAll(buffer_));
    buffer_.clear();
    return absl::OkStatus();
  }

 private:
  absl::Status WriteAll(std::span<const uint8_t> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return NotWritten(path_, errno);
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }

  const std::string path_;
  const int descriptor_;
  std::vector<uint8_t> buffer_;
};

}  // namespace

ResultFile::~ResultFile() {
  if (descriptor >= 0) close(descriptor);
}

absl::StatusOr<ResultFile> ResultFile::Open(const std::string& path) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return NotWritten(path, errno);
  return ResultFile(path, descriptor);
}

absl::StatusOr<FileResult> WorkOnFile(const std::string& source_path, const ResultFile& result,
                                      const engine::Operation& operation,
                                      engine::Executor& executor,
                                      const engine::JobOptions& options) {
  HISTEQ_ASSIGN_OR_RETURN(LocalFile file, LocalFile::Open(source_path));
  FileSource source(std::move(file));
  FileSink sink(result.path, result.descriptor);
  HISTEQ_ASSIGN_OR_RETURN(engine::JobResult job,
                          engine::RunJob(source, sink, operation, executor, options));
  HISTEQ_RETURN_IF_ERROR(sink.Flush());
  HISTEQ_RETURN_IF_ERROR(source.CheckUnchanged());
  return FileResult{.format = job.info.format,
                    .width = job.info.width,
                    .height = job.info.height,
                    .result_bytes = std::move(job.result_bytes),
                    .statistics = std::move(job.statistics)};
}

}  // namespace histeq::client
