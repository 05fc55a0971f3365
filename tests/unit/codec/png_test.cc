// Every kind of PNG: decoded as a slow reader does it, encoded in segments, joined, and read again.

#include <catch2/catch.hpp>
#include <random>

#include "codec_run.h"
#include "memory_stream.h"
#include "png_writer.h"
#include "strict_readers.h"

namespace histeq::codec {
namespace {

struct Format {
  int color_type, bit_depth;
  bool transparent;
};

const std::vector<Format> kFormats = {
    {0, 1, false}, {0, 2, false}, {0, 4, false}, {0, 8, false}, {0, 16, false}, {0, 1, true},
    {0, 2, true},  {0, 4, true},  {0, 8, true},  {0, 16, true}, {2, 8, false},  {2, 16, false},
    {2, 8, true},  {2, 16, true}, {3, 1, false}, {3, 2, false}, {3, 4, false},  {3, 8, false},
    {3, 1, true},  {3, 2, true},  {3, 4, true},  {3, 8, true},  {4, 8, false},  {4, 16, false},
    {6, 8, false}, {6, 16, false}};

const std::vector<std::pair<uint32_t, uint32_t>> kSizes = {{1, 1}, {2, 1},   {1, 5},    {7, 9},
                                                           {8, 8}, {17, 33}, {300, 120}};

void CheckRoundTrip(const std::vector<uint8_t>& file, const DecodeOptions& options = {}) {
  reference::PngImage expected;
  REQUIRE(reference::ReadPng(file, expected) == "");
  std::vector<uint8_t> first_bytes;
  for (const uint32_t rows : {0u, 1u, 4u, expected.height / 2 + 1}) {
    CAPTURE(rows);
    const auto decoded = DecodeAll(file, options, rows, 999);
    REQUIRE(Reason(decoded.status()) == "OK");
    const PlaneLayout& plane = decoded->layout.planes[0];
    REQUIRE(decoded->layout.planes.size() == 1);
    REQUIRE(plane.channels == expected.channels);
    REQUIRE(plane.bytes_per_sample == expected.bytes_per_sample);
    CHECK(decoded->layout.has_alpha == (expected.channels == 2 || expected.channels == 4));
    CHECK(decoded->info.has_alpha == decoded->layout.has_alpha);
    CHECK(decoded->info.bits_per_sample == expected.bit_depth);
    CHECK(decoded->info.progressive == (expected.interlace == 1));
    REQUIRE(VisiblePlane(*decoded, 0) == expected.samples);
    const auto stitched = EncodeAll(*decoded);
    REQUIRE(Reason(stitched.status()) == "OK");
    CHECK(PngComplaint(*stitched) == "");
    reference::PngImage again;
    REQUIRE(reference::ReadPng(*stitched, again) == "");
    CHECK(again.width == expected.width);
    CHECK(again.height == expected.height);
    CHECK(again.channels == expected.channels);
    CHECK(again.bit_depth == 8 * expected.bytes_per_sample);
    CHECK(again.interlace == 0);
    CHECK(again.samples == expected.samples);
    CHECK(again.Find("PLTE") == nullptr);
    CHECK(again.Find("tRNS") == nullptr);
    // The same segment again: the same bytes.
    CHECK(*EncodeAll(*decoded) == *stitched);
  }
}

TEST_CASE("every kind of PNG keeps its samples") {
  for (const Format& f : kFormats)
    for (const bool interlaced : {false, true})
      for (const auto& [width, height] : kSizes) {
        CAPTURE(f.color_type, f.bit_depth, f.transparent, interlaced, width, height);
        CheckRoundTrip(WritePng({.width = width,
                                 .height = height,
                                 .color_type = f.color_type,
                                 .bit_depth = f.bit_depth,
                                 .interlaced = interlaced,
                                 .transparent = f.transparent}));
      }
}

TEST_CASE("PNGs with many runs and chunks of data") {
  // Rows beyond the size of a run; noise that does not shrink; several IDAT chunks a fragment.
  CheckRoundTrip(WritePng({.width = 100'000, .height = 5, .color_type = 6}));
  auto noise = WritePng({.width = 900, .height = 700, .color_type = 2, .compression = 0});
  const auto decoded = DecodeAll(noise);
  REQUIRE(decoded.ok());
  Decoded random = *decoded;
  uint32_t state = 7;
  for (uint8_t& b : random.segments[0].bytes) {
    state = state * 1664525 + 1013904223;
    b = static_cast<uint8_t>(state >> 24);
  }
  const auto stitched = EncodeAll(random);
  REQUIRE(stitched.ok());
  CHECK(PngComplaint(*stitched) == "");
  reference::PngImage again;
  REQUIRE(reference::ReadPng(*stitched, again) == "");
  CHECK(again.samples == random.segments[0].bytes);
  // Incompressible, and so hardly larger than the samples.
  CHECK(stitched->size() < random.segments[0].bytes.size() * 1.01 + 1000);
}

TEST_CASE("a palette of fewer colours than the bits allow") {
  CheckRoundTrip(WritePng({.color_type = 3, .bit_depth = 8, .palette_size = 3}));
  // A pixel beyond it.
  auto chunks = reference::SplitPng(WritePng({.color_type = 3, .bit_depth = 8}));
  for (auto& c : chunks)
    if (c.type == "PLTE") c.data.resize(6);
  for (const bool interlaced : {false, true}) {
    chunks =
        reference::SplitPng(WritePng({.color_type = 3, .bit_depth = 8, .interlaced = interlaced}));
    for (auto& c : chunks)
      if (c.type == "PLTE") c.data.resize(6);
    CHECK(Reason(DecodeAll(reference::JoinPng(chunks)).status()) ==
          "INVALID_ARGUMENT IMAGE_CORRUPT");
  }
}

TEST_CASE("fragments of a PNG that are missing are noticed") {
  const auto decoded = DecodeAll(WritePng({}), {}, 10);
  REQUIRE(decoded.ok());
  MemorySink sink;
  auto stitcher = CreateStitcher(decoded->spec, {}, sink);
  REQUIRE(stitcher.ok());
  const auto fragment =
      EncodeFragment(decoded->spec, decoded->layout, 0, 10, decoded->segments[0].bytes);
  REQUIRE(fragment.ok());
  REQUIRE((*stitcher)->Append(*fragment).ok());
  CHECK((*stitcher)->Finish().code() == absl::StatusCode::kInternal);
}

TEST_CASE("segments that do not fit a PNG are refused") {
  const auto decoded = DecodeAll(WritePng({}));
  REQUIRE(decoded.ok());
  const std::span<const uint8_t> bytes(decoded->segments[0].bytes);
  auto encode = [&](uint32_t f, uint32_t r, size_t size) {
    return Reason(EncodeFragment(decoded->spec, decoded->layout, f, r, bytes.first(size)).status());
  };
  const std::string bad = "INVALID_ARGUMENT INVALID_SEGMENT";
  CHECK(encode(3, 2, 2 * 17 * 3) == "OK");
  CHECK(encode(3, 2, 2 * 17 * 3 - 1) == bad);
  CHECK(encode(33, 1, 17 * 3) == bad);
  CHECK(encode(0, 0, 0) == bad);
  CHECK(encode(30, UINT32_MAX, 17 * 3) == bad);
}

// Encodes far down the stack: the encoder's state has another address each time.
__attribute__((noinline)) std::vector<uint8_t> EncodeBelow(int depth, const EncodeSpec& spec,
                                                           const RasterLayout& layout,
                                                           const std::vector<uint8_t>& samples) {
  volatile uint8_t frame[64 << 10];
  frame[0] = static_cast<uint8_t>(depth);
  std::vector<uint8_t> bytes;
  if (depth > 0) {
    bytes = EncodeBelow(depth - 1, spec, layout, samples);
  } else {
    auto fragment = EncodeFragment(spec, layout, 0, 4, samples);
    REQUIRE(fragment.ok());
    bytes = std::move(fragment->bytes);
  }
  // Not a tail call: the frame is needed until here.
  frame[1] = frame[0];
  return bytes;
}

TEST_CASE("a fragment's bytes do not depend on where the encoder lies in memory") {
  EncodeSpec spec;
  spec.width = 120;
  spec.height = 4;
  spec.format = PngEncodeSpec{};
  RasterLayout layout;
  layout.planes = {{.stored_width = 120, .visible_width = 120}};
  std::mt19937 random(1);
  for (int picture = 0; picture < 200; ++picture) {
    std::vector<uint8_t> samples(480);
    for (size_t i = 0; i < samples.size(); ++i) {
      // What stands at the beginning comes again.
      samples[i] = i >= 90 && i < 110 ? samples[i - 90] : static_cast<uint8_t>(random() % 7);
    }
    const std::vector<uint8_t> expected = EncodeBelow(0, spec, layout, samples);
    int different = 0;
    for (int depth = 1; depth < 60; ++depth) {
      different += EncodeBelow(depth, spec, layout, samples) != expected;
    }
    REQUIRE(different == 0);
  }
}

}  // namespace
}  // namespace histeq::codec
