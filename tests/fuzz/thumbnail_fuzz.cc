// Any bytes to thumbnails of several kinds, through probe, decoder, resampling and encoder.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "codec/decoder.h"
#include "engine/run_job.h"
#include "engine/thread_executor.h"

namespace histeq::engine {
namespace {

void Must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

class MemorySource final : public base::ByteSource {
 public:
  explicit MemorySource(std::span<const uint8_t> bytes) : left_(bytes) {}
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    const size_t n = std::min({buffer.size(), left_.size(), size_t{509}});
    std::copy_n(left_.begin(), n, buffer.begin());
    left_ = left_.subspan(n);
    return n;
  }

 private:
  std::span<const uint8_t> left_;
};

class MemorySink final : public base::ByteSink {
 public:
  absl::Status Write(std::span<const uint8_t> more) override {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return absl::OkStatus();
  }
  std::vector<uint8_t> bytes;
};

constexpr codec::DecodeLimits kLimits{.max_pixels = 1 << 18,
                                      .max_dimension = 1 << 14,
                                      .max_jpeg_scans = 12,
                                      .max_metadata_bytes = 1 << 17};

std::vector<ThumbnailParameters> Thumbnails() {
  using Fit = ThumbnailParameters::Fit;
  using codec::ImageFormat;
  return {{.width = 16, .height = 12},
          {.width = 5, .height = 5, .fit = Fit::kCover, .format = ImageFormat::kPng},
          {.width = 3,
           .height = 1,
           .fit = Fit::kExact,
           .format = ImageFormat::kJpeg,
           .background = 0x102030},
          {.width = 40, .height = 30, .fit = Fit::kCover, .enlarge = true, .linear_light = true}};
}

void Run(std::span<const uint8_t> file) {
  Operation operation;
  operation.kind = Operation::Kind::kDerive;
  operation.thumbnails = Thumbnails();
  InlineExecutor executor;
  base::MemoryBudget budget(256 << 20);
  JobOptions options;
  options.limits = kLimits;
  options.budget = &budget;
  options.scratch_dir = "/nowhere";
  options.small_image_bytes = 0;
  MemorySource source(file);
  MemorySink sink;
  const auto result = RunJob(source, sink, operation, executor, options);
  if (!result.ok()) {
    const auto detail = base::GetErrorDetail(result.status());
    Must(detail.has_value() && !detail->reason.empty() &&
             result.status().code() == absl::StatusCode::kInvalidArgument,
         "an error is INVALID_ARGUMENT with a reason");
    Must(sink.bytes.empty(), "a broken image makes nothing");
    return;
  }
  Must(result->result_bytes.size() == operation.thumbnails.size(), "each thumbnail is there");
  size_t at = 0;
  for (size_t i = 0; i < result->result_bytes.size(); ++i) {
    const auto thumbnail = std::span(sink.bytes).subspan(at, result->result_bytes[i]);
    at += thumbnail.size();
    MemorySource again(thumbnail);
    auto decoder = codec::OpenDecoder(again, {.limits = kLimits});
    Must(decoder.ok(), "a thumbnail is read");
    const codec::ImageInfo& info = (*decoder)->info();
    Must(info.width <= operation.thumbnails[i].width &&
             info.height <= operation.thumbnails[i].height,
         "a thumbnail is as small as it was asked for");
    std::vector<uint8_t> samples(codec::SegmentBytes((*decoder)->layout(), info.height));
    Must((*decoder)->ReadRows(info.height, samples).ok(), "a thumbnail's samples are read");
    Must((*decoder)->Finish().ok(), "a thumbnail is whole");
    Must((*decoder)->orientation() == 1, "a thumbnail stands upright");
  }
  Must(at == sink.bytes.size(), "there is nothing else");
}

}  // namespace
}  // namespace histeq::engine

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  histeq::engine::Run({data, size});
  return 0;
}
