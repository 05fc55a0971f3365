#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "engine/thread_executor.h"
#include "engine/whole_image.h"
#include "local_segment.h"
#include "process_image.h"

namespace histeq::engine {
namespace {

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
  MemorySink sink;
  HISTEQ_ASSIGN_OR_RETURN(JobResult result, RunWholeImage(file, sink, operation, limits, token));
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
    HISTEQ_RETURN_IF_ERROR(TransformAndDeliver(spec, exchange, i, buffer, token));
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
