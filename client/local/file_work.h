#pragma once

// One image from file to file: what threads of the command and its worker processes do alike.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "codec/image_info.h"
#include "engine/run_job.h"

namespace histeq::client {

// What became of it.
struct FileResult {
  // Of the source.
  codec::ImageFormat format = codec::ImageFormat::kJpeg;
  uint32_t width = 0;
  uint32_t height = 0;
  // Sizes of the results, which lie in the result's file one after the other.
  std::vector<uint64_t> result_bytes;
  // For Operation::Kind::kAnalyze, which has no results.
  std::optional<engine::ImageStatistics> statistics;
};

// A file that is there, and is written from its start. Movable; closes its descriptor.
struct ResultFile {
  // - FAILED_PRECONDITION OUTPUT_NOT_WRITABLE.
  static absl::StatusOr<ResultFile> Open(const std::string& path);
  ResultFile(std::string file_path, int open_descriptor)
      : path(std::move(file_path)), descriptor(open_descriptor) {}
  ResultFile(ResultFile&& other) noexcept
      : path(std::move(other.path)), descriptor(std::exchange(other.descriptor, -1)) {}
  ResultFile& operator=(ResultFile&&) = delete;
  ~ResultFile();

  // For messages.
  std::string path;
  int descriptor = -1;
};

// Reads `source_path` and writes `result`.
// - NOT_FOUND FILE_NOT_FOUND; PERMISSION_DENIED FILE_NOT_READABLE; INVALID_ARGUMENT NOT_A_FILE.
// - FAILED_PRECONDITION OUTPUT_NOT_WRITABLE; RESOURCE_EXHAUSTED DISK_FULL.
// - errors of engine::RunJob.
absl::StatusOr<FileResult> WorkOnFile(const std::string& source_path, const ResultFile& result,
                                      const engine::Operation& operation,
                                      engine::Executor& executor,
                                      const engine::JobOptions& options);

}  // namespace histeq::client
