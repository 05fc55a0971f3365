#include "engine/segment_work.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/error.h"
#include "engine/operation.h"
#include "histeq/equalize.h"

namespace histeq::engine {
namespace {

// A gray JPEG of 20x20 pixels in a plane of 24x24, inverted.
TransformSpec InvertGray(uint32_t width, uint32_t height) {
  TransformSpec spec;
  const uint32_t stored = (width + 7) / 8 * 8;
  spec.layout.planes = {{stored, width, 1, 1, 1}};
  spec.layout.unit_rows = 8;
  codec::JpegEncodeSpec jpeg;
  jpeg.components = {{1, 1, 0}};
  jpeg.quant_tables.resize(1);
  jpeg.quant_tables[0].fill(1);
  spec.encode = {width, height, jpeg};
  std::vector<uint8_t> table(256);
  for (int i = 0; i < 256; ++i) table[i] = static_cast<uint8_t>(255 - i);
  spec.mapping = std::make_shared<Mapping>(
      *Mapping::FromBytes(spec.parameters, ShapeOf(spec.layout, height), table));
  return spec;
}

}  // namespace

TEST_CASE("what the encoder sees beyond the picture repeats the mapped edge") {
  const TransformSpec spec = InvertGray(20, 20);
  std::vector<uint8_t> samples(24 * 24, 99);
  for (int y = 0; y < 20; ++y)
    for (int x = 0; x < 20; ++x) samples[y * 24 + x] = static_cast<uint8_t>(x * 3 + y * 5);
  std::vector<uint8_t> expected(24 * 24);
  for (int y = 0; y < 24; ++y)
    for (int x = 0; x < 24; ++x)
      expected[y * 24 + x] =
          static_cast<uint8_t>(255 - (std::min(x, 19) * 3 + std::min(y, 19) * 5));
  const auto direct = codec::EncodeFragment(spec.encode, spec.layout, 0, 20, expected);
  const auto fragment = TransformSegment(spec, {0, 0, 20}, samples);
  REQUIRE(direct.ok());
  REQUIRE(fragment.ok());
  CHECK(fragment->bytes == direct->bytes);
}

TEST_CASE("16-bit pixels and colours repeat whole") {
  // A layout that no decoder of today makes, in a PNG's width: padding is what is tested.
  TransformSpec spec;
  spec.layout.planes = {{5, 5, 3, 2, 1}};
  spec.encode = {5, 2, codec::PngEncodeSpec{.channels = 3, .bits_per_sample = 16}};
  std::vector<uint16_t> table(65536);
  for (int i = 0; i < 65536; ++i) table[i] = static_cast<uint16_t>(i);
  spec.mapping = std::make_shared<Mapping>(
      *Mapping::FromBytes(spec.parameters, ShapeOf(spec.layout, 2),
                          {reinterpret_cast<const uint8_t*>(table.data()), table.size() * 2}));
  std::vector<uint8_t> samples(5 * 2 * 6);
  for (size_t i = 0; i < samples.size(); ++i) samples[i] = static_cast<uint8_t>(i * 7);
  const auto direct = codec::EncodeFragment(spec.encode, spec.layout, 0, 2, samples);
  const auto fragment = TransformSegment(spec, {0, 0, 2}, samples);
  REQUIRE(fragment.ok());
  CHECK(fragment->bytes == direct->bytes);
}

TEST_CASE("segments that do not fit are refused before anything is touched") {
  const TransformSpec spec = InvertGray(20, 200);
  std::vector<uint8_t> samples(24 * 64, 7);
  for (const Segment& segment :
       {Segment{0, 0, 0}, Segment{0, 0, 128}, Segment{0, 192, 64}, Segment{0, 4'294'967'232, 64}}) {
    const auto fragment = TransformSegment(spec, segment, samples);
    REQUIRE(fragment.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(base::GetErrorDetail(fragment.status())->reason == "INVALID_SEGMENT");
  }
  CHECK(std::count(samples.begin(), samples.end(), 7) == 24 * 64);
  CHECK(TransformSegment(spec, {0, 64, 64}, samples).ok());
}

}  // namespace histeq::engine
