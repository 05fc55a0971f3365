#pragma once

// A small image done whole, on the calling thread: what Executor::ProcessImage comes to in the end.

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "base/byte_stream.h"
#include "base/cancel.h"
#include "codec/image_info.h"
#include "codec/limits.h"
#include "engine/operation.h"
#include "engine/run_job.h"

namespace histeq::engine {

// Decoded samples of an image that is done whole stay in memory up to this, and wait in an unlinked
// file beyond it: a small file may be a large picture.
inline constexpr uint64_t kWholeImageSampleBytes = 64ull << 20;

// Memory in bytes that RunWholeImage takes at most, beside the file and the result: decoded
// samples, statistics and mapping, a segment and its fragment. Errors of CheckOperation.
absl::StatusOr<uint64_t> WholeImageBytes(const Operation& operation, const codec::ImageInfo& info);

// RunJob on the calling thread, within that memory. `file` outlives the call. Thread-safe. Errors
// of RunJob.
absl::StatusOr<JobResult> RunWholeImage(std::span<const uint8_t> file, base::ByteSink& sink,
                                        const Operation& operation,
                                        const codec::DecodeLimits& limits,
                                        const base::CancelToken& token);

}  // namespace histeq::engine
