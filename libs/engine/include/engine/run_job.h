#pragma once

// One job: bytes of an image in, bytes of the result out.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/byte_stream.h"
#include "base/cancel.h"
#include "base/memory_budget.h"
#include "codec/image_info.h"
#include "codec/limits.h"
#include "engine/executor.h"
#include "engine/image_statistics.h"
#include "engine/operation.h"

namespace histeq::engine {

// Numbers as in histeq.v1.JobStage.
enum class JobStage { kAnalyze = 1, kTransform = 2 };

struct JobOptions {
  codec::DecodeLimits limits;
  // Decoded samples wait in memory as long as they fit, then in an unlinked file of scratch_dir.
  // Null: always in a file. Outlives the call.
  base::MemoryBudget* budget = nullptr;
  std::string scratch_dir = "/var/tmp";
  // A file of at most this size whose plan is one segment, or of which only thumbnails are made, is
  // given to Executor::ProcessImage whole; 0: never.
  uint64_t small_image_bytes = 1ull << 20;
  base::CancelToken token;
  // Called on the calling thread and on the executor's, one call at a time: segments decoded and
  // counted, then segments delivered, of all; for thumbnails alone hundredths of the decoding, as
  // kTransform. May be empty.
  std::function<void(JobStage stage, uint32_t done, uint32_t total)> progress;
};

struct JobResult {
  codec::ImageInfo info;
  uint64_t pixels = 0;
  uint32_t segments = 0;
  // Sizes of the results, which were written to the sink one after the other: the equalized image,
  // then the thumbnails as the operation lists them.
  std::vector<uint64_t> result_bytes;
  // For Operation::Kind::kAnalyze, which writes nothing to the sink.
  std::optional<ImageStatistics> statistics;
};

// Reads the image, counts, maps, encodes and stitches. Decodes, and makes thumbnails, on the
// calling thread. The bytes written depend on the image and the operation alone, never on the
// executor. `sink` is written on several threads, one at a time.
// - INVALID_ARGUMENT: the decoder's reasons, or CheckOperation's.
// - RESOURCE_EXHAUSTED: DISK_FULL, SCRATCH_FAILED; OUT_OF_MEMORY for statistics that do not fit.
// - what source, sink, executor and token answer.
absl::StatusOr<JobResult> RunJob(base::ByteSource& source, base::ByteSink& sink,
                                 const Operation& operation, Executor& executor,
                                 const JobOptions& options);

}  // namespace histeq::engine
