#pragma once

// One image from file to file: what threads of the command and its worker processes do alike.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "codec/image_info.h"
#include "engine/run_job.h"
#include "histeq/v1/job.pb.h"

namespace histeq::client {

// What became of it.
struct FileResult {
  // Of the source.
  codec::ImageFormat format = codec::ImageFormat::kJpeg;
  uint32_t width = 0;
  uint32_t height = 0;
  // Sizes of the results, which lie in the result's file one after the other.
  std::vector<uint64_t> result_bytes;
  // Of services alone: their names of the results, and the job that made them.
  std::vector<std::string> image_ids;
  std::optional<v1::Job> job;
  // For Operation::Kind::kAnalyze, which has no results.
  std::optional<engine::ImageStatistics> statistics;
};

// Reads `source_path` and writes to the open file `result`, which is empty; `result_path` is what
// it is called in messages.
// - NOT_FOUND FILE_NOT_FOUND; PERMISSION_DENIED FILE_NOT_READABLE; INVALID_ARGUMENT NOT_A_FILE.
// - FAILED_PRECONDITION OUTPUT_NOT_WRITABLE; RESOURCE_EXHAUSTED DISK_FULL.
// - errors of engine::RunJob.
absl::StatusOr<FileResult> WorkOnFile(const std::string& source_path, int result,
                                      const std::string& result_path,
                                      const engine::Operation& operation,
                                      engine::Executor& executor,
                                      const engine::JobOptions& options);

}  // namespace histeq::client
