#include "engine/whole_image.h"

#include <algorithm>

#include "base/memory_budget.h"
#include "base/memory_source.h"
#include "base/status_macros.h"
#include "engine/plan.h"
#include "engine/thread_executor.h"
#include "histeq/mapping.h"
#include "histeq/statistics.h"
#include "job_source.h"

namespace histeq::engine {
namespace {

// Tables and rows of the codecs, and what counting 16-bit samples wants beside its counts.
constexpr uint64_t kBuffersBytes = 1 << 20;
// A segment of JPEG has a multiple of eight rows of MCUs, which have up to 32x32 pixels.
constexpr uint32_t kMcuPixels = 32;
constexpr uint32_t kLargestRowMultiple = 8 * kMcuPixels;

uint64_t RoundUp(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// The largest shape that decoding may give: a PNG's header does not say what its palette, or its
// transparent colour, adds.
ImageShape LargestShape(const codec::ImageInfo& info) {
  ImageShape shape{.width = info.width,
                   .height = info.height,
                   .channels = std::clamp(info.channels, 1u, 4u),
                   .has_alpha = info.has_alpha,
                   .bits_per_sample = info.bits_per_sample == 16 ? 16u : 8u};
  if (info.format == codec::ImageFormat::kPng && !info.has_alpha) {
    const bool palette = info.channels == 1 && info.bits_per_sample <= 8;
    shape.channels = palette ? 4 : std::min(shape.channels + 1, 4u);
    shape.has_alpha = true;
  }
  return shape;
}

// Statistics, and the mapping while it is made.
uint64_t TableBytes(const Operation& operation, const ImageShape& shape) {
  if (operation.kind == Operation::Kind::kAnalyze)
    return uint64_t{4} * SampleValues(shape) * sizeof(uint64_t);
  return Statistics::BytesFor(operation.equalize, shape) +
         2 * Mapping::BytesFor(operation.equalize, shape);
}

}  // namespace

absl::StatusOr<uint64_t> WholeImageBytes(const Operation& operation, const codec::ImageInfo& info) {
  HISTEQ_RETURN_IF_ERROR(CheckOperation(operation, info));
  const ImageShape shape = LargestShape(info);
  const uint64_t row_bytes =
      RoundUp(info.width, kMcuPixels) * shape.channels * (shape.bits_per_sample / 8);
  const uint64_t rows = RoundUp(info.height, kMcuPixels);
  // In 64 bits for every size that a header can name.
  const uint64_t samples =
      rows > (uint64_t{1} << 60) / row_bytes ? uint64_t{1} << 60 : rows * row_bytes;
  // Coefficients of two bytes, or the rows of an interlaced PNG, wait beside the samples.
  const uint64_t waiting = info.progressive ? 3 * samples : samples;
  const uint64_t multiple = info.format == codec::ImageFormat::kJpeg ? kLargestRowMultiple : 1;
  const uint64_t segment = std::min(samples, std::max(kSegmentBytes, multiple * row_bytes));
  return std::min(waiting, kWholeImageSampleBytes) + 2 * segment + TableBytes(operation, shape) +
         kBuffersBytes;
}

absl::StatusOr<JobResult> RunWholeImage(std::span<const uint8_t> file, base::ByteSink& sink,
                                        const Operation& operation,
                                        const codec::DecodeLimits& limits,
                                        const base::CancelToken& token) {
  base::MemoryBudget budget(static_cast<int64_t>(kWholeImageSampleBytes));
  JobOptions options;
  options.limits = limits;
  options.budget = &budget;
  options.small_image_bytes = 0;
  options.token = token;
  base::MemorySource source(file);
  InlineExecutor executor;
  return RunJob(source, sink, operation, executor, options);
}

}  // namespace histeq::engine
