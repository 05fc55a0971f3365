#include "local/file_work.h"

#include <algorithm>

#include "api/local_file.h"
#include "base/byte_stream.h"
#include "base/status_macros.h"
#include "local/file_sink.h"

namespace histeq::client {
namespace {

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

}  // namespace

absl::StatusOr<FileResult> WorkOnFile(const std::string& source_path, int result,
                                      const std::string& result_path,
                                      const engine::Operation& operation,
                                      engine::Executor& executor,
                                      const engine::JobOptions& options) {
  HISTEQ_ASSIGN_OR_RETURN(LocalFile file, LocalFile::Open(source_path));
  FileSource source(std::move(file));
  FileSink sink(result_path, result);
  HISTEQ_ASSIGN_OR_RETURN(engine::JobResult job,
                          engine::RunJob(source, sink, operation, executor, options));
  HISTEQ_RETURN_IF_ERROR(sink.Flush());
  HISTEQ_RETURN_IF_ERROR(source.CheckUnchanged());
  FileResult made;
  made.format = job.info.format;
  made.width = job.info.width;
  made.height = job.info.height;
  made.result_bytes = std::move(job.result_bytes);
  made.statistics = std::move(job.statistics);
  return made;
}

}  // namespace histeq::client
