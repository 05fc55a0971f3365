#include <utility>
#include <vector>

#include "base/memory_budget.h"
#include "base/status_macros.h"
#include "engine/run_job.h"
#include "engine/thread_executor.h"
#include "job_source.h"
#include "local_segment.h"
#include "process_image.h"

namespace histeq::engine {
namespace {

// Decoded samples of an image that is done whole; a small file may be a large picture.
constexpr int64_t kWholeImageBudgetBytes = 64 << 20;

class MemorySink final : public base::ByteSink {
 public:
  absl::Status Write(std::span<const uint8_t> bytes) override {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return absl::OkStatus();
  }
  std::vector<uint8_t> Take() { return std::move(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
};

}  // namespace

absl::StatusOr<ProcessedImage> ProcessImageHere(std::span<const uint8_t> file,
                                                const Operation& operation,
                                                const codec::DecodeLimits& limits,
                                                const base::CancelToken& token) {
  base::MemoryBudget budget(kWholeImageBudgetBytes);
  JobOptions options;
  options.limits = limits;
  options.budget = &budget;
  options.small_image_bytes = 0;
  options.token = token;
  MemorySource source(file);
  MemorySink sink;
  InlineExecutor executor;
  HISTEQ_ASSIGN_OR_RETURN(JobResult result, RunJob(source, sink, operation, executor, options));
  return ProcessedImage{.file = sink.Take(),
                        .result_bytes = std::move(result.result_bytes),
                        .pixels = result.pixels,
                        .statistics = std::move(result.statistics)};
}

absl::Status InlineExecutor::Transform(const TransformSpec& spec, SegmentExchange& exchange,
                                       const base::CancelToken& token) {
  std::vector<uint8_t> buffer;
  for (uint32_t i = 0; i < exchange.count(); ++i) {
    HISTEQ_RETURN_IF_ERROR(token.Check());
    HISTEQ_RETURN_IF_ERROR(TransformAndDeliver(spec, exchange, i, buffer));
  }
  return absl::OkStatus();
}

absl::StatusOr<ProcessedImage> InlineExecutor::ProcessImage(std::span<const uint8_t> file,
                                                            const Operation& operation,
                                                            const codec::DecodeLimits& limits,
                                                            const base::CancelToken& token) {
  return ProcessImageHere(file, operation, limits, token);
}

}  // namespace histeq::engine
