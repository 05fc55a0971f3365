// Decoding and encoding of real pictures in one thread. Bytes per second are those of the samples.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "codec/decoder.h"
#include "codec/fragment.h"

namespace histeq::codec {
namespace {

constexpr size_t kSegmentBytes = 16 << 20;

class MemorySource : public base::ByteSource {
 public:
  explicit MemorySource(std::span<const uint8_t> bytes) : left_(bytes) {}
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    const size_t n = std::min(buffer.size(), left_.size());
    std::copy_n(left_.begin(), n, buffer.begin());
    left_ = left_.subspan(n);
    return n;
  }

 private:
  std::span<const uint8_t> left_;
};

class MemorySink : public base::ByteSink {
 public:
  absl::Status Write(std::span<const uint8_t> more) override {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return absl::OkStatus();
  }
  std::vector<uint8_t> bytes;
};

struct Picture {
  EncodeSpec spec;
  RasterLayout layout;
  std::vector<uint8_t> segment;
};

void Check(const absl::Status& status) {
  if (status.ok()) return;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  std::abort();
}

Picture Decode(std::span<const uint8_t> file, SampleMode mode) {
  MemorySource source(file);
  auto decoder = OpenDecoder(source, {.mode = mode});
  Check(decoder.status());
  Picture picture{(*decoder)->encode_spec(), (*decoder)->layout(), {}};
  picture.segment.resize(SegmentBytes(picture.layout, picture.spec.height));
  Check((*decoder)->ReadRows(picture.spec.height, picture.segment));
  Check((*decoder)->Finish());
  return picture;
}

std::vector<uint8_t> Load(const std::string& name) {
  std::ifstream file(std::string(HISTEQ_TEST_DATA) + "/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The picture again and again below itself, to the size of a usual segment.
Picture Tall(const Picture& one) {
  const uint32_t unit = 8 * one.layout.unit_rows;
  const uint32_t rows = one.spec.height / unit * unit;
  const uint64_t bytes = SegmentBytes(one.layout, rows);
  const auto times = static_cast<uint32_t>(std::max<uint64_t>(1, kSegmentBytes / bytes));
  Picture tall{one.spec, one.layout, {}};
  tall.spec.height = rows * times;
  tall.segment.resize(SegmentBytes(tall.layout, tall.spec.height));
  for (size_t p = 0; p < one.layout.planes.size(); ++p) {
    const uint64_t plane = PlaneRows(one.layout, p, rows) * PlaneStride(one.layout.planes[p]);
    for (uint32_t t = 0; t < times; ++t)
      std::memcpy(tall.segment.data() + PlaneOffset(tall.layout, p, tall.spec.height) + t * plane,
                  one.segment.data() + PlaneOffset(one.layout, p, one.spec.height), plane);
  }
  return tall;
}

Picture Widened(const Picture& one) {
  Picture wide = one;
  wide.layout.planes[0].bytes_per_sample = 2;
  std::get<PngEncodeSpec>(wide.spec.format).bits_per_sample = 16;
  wide.segment.resize(one.segment.size() * 2);
  // Neighbouring bits in the low byte, as a camera's noise would be.
  for (size_t i = 0; i < one.segment.size(); ++i) {
    wide.segment[2 * i] = static_cast<uint8_t>(one.segment[i] * 31 & 0xF0);
    wide.segment[2 * i + 1] = one.segment[i];
  }
  return wide;
}

std::vector<uint8_t> Encode(const Picture& picture) {
  MemorySink sink;
  sink.bytes.reserve(picture.segment.size());
  auto stitcher = CreateStitcher(picture.spec, {}, sink);
  Check(stitcher.status());
  auto fragment =
      EncodeFragment(picture.spec, picture.layout, 0, picture.spec.height, picture.segment);
  Check(fragment.status());
  Check((*stitcher)->Append(*fragment));
  Check((*stitcher)->Finish());
  return std::move(sink.bytes);
}

void Report(benchmark::State& state, const Picture& picture, size_t file_bytes) {
  const auto done = static_cast<double>(state.iterations());
  state.SetBytesProcessed(static_cast<int64_t>(done * picture.segment.size()));
  state.counters["Mpixel/s"] = benchmark::Counter(
      done * picture.spec.width * picture.spec.height / 1e6, benchmark::Counter::kIsRate);
  state.counters["ratio"] = static_cast<double>(picture.segment.size()) / file_bytes;
}

void BM_Encode(benchmark::State& state, const std::string& name, SampleMode mode, bool wide) {
  Picture picture = Tall(Decode(Load(name), mode));
  if (wide) picture = Widened(picture);
  size_t file_bytes = 0;
  for (auto _ : state) file_bytes = Encode(picture).size();
  Report(state, picture, file_bytes);
}

void BM_Decode(benchmark::State& state, const std::string& name, SampleMode mode) {
  const Picture picture = Tall(Decode(Load(name), mode));
  const std::vector<uint8_t> file = Encode(picture);
  std::vector<uint8_t> segment(picture.segment.size());
  for (auto _ : state) {
    MemorySource source(file);
    auto decoder = OpenDecoder(source, {.mode = mode});
    Check(decoder.status());
    Check((*decoder)->ReadRows(picture.spec.height, segment));
    Check((*decoder)->Finish());
  }
  Report(state, picture, file.size());
}

constexpr SampleMode kRaw = SampleMode::kRawPlanes;
constexpr SampleMode kRgb = SampleMode::kInterleaved;

BENCHMARK_CAPTURE(BM_Encode, jpeg_retina_planes, "retina.jpg", kRaw, false);
BENCHMARK_CAPTURE(BM_Encode, jpeg_rocket_planes, "rocket.jpg", kRaw, false);
BENCHMARK_CAPTURE(BM_Encode, jpeg_rocket_rgb, "rocket.jpg", kRgb, false);
BENCHMARK_CAPTURE(BM_Encode, png_camera_gray8, "camera.png", kRaw, false);
BENCHMARK_CAPTURE(BM_Encode, png_camera_gray16, "camera.png", kRaw, true);
BENCHMARK_CAPTURE(BM_Encode, png_coffee_rgb8, "coffee.png", kRaw, false);
BENCHMARK_CAPTURE(BM_Encode, png_coffee_rgb16, "coffee.png", kRaw, true);
BENCHMARK_CAPTURE(BM_Decode, jpeg_retina_planes, "retina.jpg", kRaw);
BENCHMARK_CAPTURE(BM_Decode, jpeg_rocket_planes, "rocket.jpg", kRaw);
BENCHMARK_CAPTURE(BM_Decode, jpeg_rocket_rgb, "rocket.jpg", kRgb);
BENCHMARK_CAPTURE(BM_Decode, png_camera_gray8, "camera.png", kRaw);
BENCHMARK_CAPTURE(BM_Decode, png_coffee_rgb8, "coffee.png", kRaw);

}  // namespace
}  // namespace histeq::codec
