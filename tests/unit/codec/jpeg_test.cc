// Every kind of JPEG: decoded as libjpeg does it plainly, encoded in segments, joined, and read by
// a strict reader of its own and by libjpeg without a warning.

#include <catch2/catch.hpp>

#include "base/error.h"
#include "codec_run.h"
#include "jpeg_writer.h"
#include "memory_stream.h"
#include "reference/jpeg_reader.h"
#include "strict_readers.h"

namespace histeq::codec {
namespace {

using Sampling = std::vector<std::pair<int, int>>;
const Sampling k444 = {{1, 1}, {1, 1}, {1, 1}};
const Sampling k420 = {{2, 2}, {1, 1}, {1, 1}};

const std::vector<std::pair<uint32_t, uint32_t>> kSizes = {{1, 1},   {7, 9},    {8, 8},   {16, 16},
                                                           {17, 33}, {40, 300}, {131, 70}};

const std::vector<Sampling> kColorSamplings = {
    k444,
    {{2, 1}, {1, 1}, {1, 1}},
    k420,
    {{1, 2}, {1, 1}, {1, 1}},
    {{4, 1}, {1, 1}, {1, 1}},
    {{4, 2}, {1, 1}, {1, 1}},
    {{1, 4}, {1, 1}, {1, 1}},
    {{3, 1}, {1, 1}, {1, 1}},
    {{2, 2}, {2, 1}, {1, 2}},
    {{2, 2}, {2, 2}, {1, 1}},
    // Chroma that fits luma only by fractions.
    {{3, 2}, {2, 1}, {1, 1}},
    {{3, 3}, {1, 1}, {1, 1} /* 11 blocks, so a scan each */},
};

int Blocks(const Sampling& sampling) {
  int blocks = 0;
  for (const auto& [h, v] : sampling) blocks += h * v;
  return blocks;
}

// Decodes to planes and compares them with libjpeg's.
Decoded CheckPlanes(const std::vector<uint8_t>& file) {
  auto decoded = DecodeAll(file, {}, 1, 1000);
  REQUIRE(Reason(decoded.status()) == "OK");
  std::string error;
  const std::vector<JpegPlane> expected = ReadJpegPlanes(file, error);
  REQUIRE(error == "");
  REQUIRE(decoded->layout.planes.size() == expected.size());
  for (size_t p = 0; p < expected.size(); ++p) {
    const PlaneLayout& plane = decoded->layout.planes[p];
    REQUIRE(plane.stored_width == expected[p].stride);
    std::vector<uint8_t> visible;
    for (uint64_t r = 0; r < VisiblePlaneRows(decoded->layout, p, decoded->info.height); ++r) {
      const auto row = expected[p].samples.begin() + static_cast<ptrdiff_t>(r * plane.stored_width);
      visible.insert(visible.end(), row, row + plane.visible_width);
    }
    CHECK(VisiblePlane(*decoded, p) == visible);
  }
  return std::move(*decoded);
}

// The same samples encoded in one piece by libjpeg.
std::vector<uint8_t> EncodeDirectly(const Decoded& decoded) {
  const auto& spec = std::get<JpegEncodeSpec>(decoded.spec.format);
  JpegKind kind;
  kind.width = decoded.info.width;
  kind.height = decoded.info.height;
  kind.space = spec.components.size() == 1 ? JCS_GRAYSCALE : JCS_YCbCr;
  kind.sampling.clear();
  std::vector<JpegPlane> planes(spec.components.size());
  std::vector<std::vector<unsigned>> quantizers;
  for (size_t p = 0; p < planes.size(); ++p) {
    const auto& c = spec.components[p];
    kind.sampling.push_back({c.horizontal_sampling, c.vertical_sampling});
    const auto& table = spec.quant_tables[c.quant_table];
    quantizers.emplace_back(table.begin(), table.end());
    planes[p].stride = decoded.layout.planes[p].stored_width;
    for (const DecodedSegment& segment : decoded.segments) {
      const auto begin = segment.bytes.begin() +
                         static_cast<ptrdiff_t>(PlaneOffset(decoded.layout, p, segment.rows));
      planes[p].samples.insert(
          planes[p].samples.end(), begin,
          begin + static_cast<ptrdiff_t>(PlaneRows(decoded.layout, p, segment.rows) *
                                         planes[p].stride));
    }
  }
  return WriteJpegPlanes(kind, planes, quantizers);
}

reference::JpegFile StrictlyRead(const std::vector<uint8_t>& file) {
  reference::JpegFile jpeg;
  REQUIRE(reference::ReadJpeg(file, jpeg) == "");
  std::string error;
  ReadJpegPlanes(file, error);
  REQUIRE(error == "");
  return jpeg;
}

void CheckSameCoefficients(const reference::JpegFile& a, const reference::JpegFile& b) {
  REQUIRE(a.width == b.width);
  REQUIRE(a.height == b.height);
  REQUIRE(a.components.size() == b.components.size());
  for (size_t i = 0; i < a.components.size(); ++i) {
    REQUIRE(a.components[i].horizontal_sampling == b.components[i].horizontal_sampling);
    REQUIRE(a.components[i].vertical_sampling == b.components[i].vertical_sampling);
    CHECK(a.components[i].quantizers == b.components[i].quantizers);
    CHECK(a.components[i].blocks == b.components[i].blocks);
  }
}

// Encodes in one, two and many segments: the same bytes, and what libjpeg makes in one piece.
void CheckEncoded(const std::vector<uint8_t>& file) {
  const auto many = DecodeAll(file, {}, 1);
  REQUIRE(Reason(many.status()) == "OK");
  const auto stitched = EncodeAll(*many);
  REQUIRE(Reason(stitched.status()) == "OK");
  for (uint32_t units : {0u, 2u, 3u}) {
    const auto other = DecodeAll(file, {}, units);
    REQUIRE(Reason(other.status()) == "OK");
    const auto again = EncodeAll(*other);
    REQUIRE(Reason(again.status()) == "OK");
    CHECK(*again == *stitched);
  }
  const reference::JpegFile jpeg = StrictlyRead(*stitched);
  const reference::JpegFile direct = StrictlyRead(EncodeDirectly(*many));
  CheckSameCoefficients(jpeg, direct);
}

TEST_CASE("gray and YCbCr JPEGs of any sampling stay in their planes") {
  for (const auto& [width, height] : kSizes) {
    for (const Sampling& sampling : kColorSamplings) {
      if (Blocks(sampling) > 10) continue;
      CAPTURE(width, height, sampling);
      const auto file = WriteJpeg({.width = width, .height = height, .sampling = sampling});
      const Decoded decoded = CheckPlanes(file);
      CHECK(std::get<JpegEncodeSpec>(decoded.spec.format).color_transform ==
            JpegColorTransform::kYCbCr);
      CHECK(decoded.info.channels == 3);
      CHECK_FALSE(decoded.info.progressive);
      CheckEncoded(file);
    }
    for (const Sampling& sampling : {Sampling{{1, 1}}, {{2, 2}}, {{1, 2}}, {{4, 3}}}) {
      CAPTURE(width, height, sampling);
      const auto file = WriteJpeg(
          {.width = width, .height = height, .space = JCS_GRAYSCALE, .sampling = sampling});
      const Decoded decoded = CheckPlanes(file);
      CHECK(std::get<JpegEncodeSpec>(decoded.spec.format).color_transform ==
            JpegColorTransform::kGray);
      CheckEncoded(file);
    }
  }
}

TEST_CASE("planes stand where plain upsampling finds them") {
  for (const Sampling& sampling : {k444, k420, Sampling{{4, 1}, {1, 1}, {1, 1}}}) {
    CAPTURE(sampling);
    const auto file = WriteJpeg({.width = 61, .height = 90, .sampling = sampling});
    const Decoded decoded = CheckPlanes(file);
    std::string error;
    const std::vector<uint8_t> rows = ReadJpegRows(file, JCS_YCbCr, /*replicate=*/true, error);
    REQUIRE(error == "");
    for (size_t p = 0; p < 3; ++p) {
      const std::vector<uint8_t> plane = VisiblePlane(decoded, p);
      const auto h = static_cast<uint32_t>(sampling[0].first / sampling[p].first);
      const auto v = static_cast<uint32_t>(sampling[0].second / sampling[p].second);
      bool same = true;
      for (uint32_t y = 0; y < 90; ++y)
        for (uint32_t x = 0; x < 61; ++x)
          same &= rows[(y * 61 + x) * 3 + p] ==
                  plane[(y / v) * decoded.layout.planes[p].visible_width + x / h];
      CHECK(same);
    }
  }
}

TEST_CASE("progressive, multi-scan, optimized JPEGs and those with restart markers") {
  base::MemoryBudget budget(1 << 24);
  for (const auto& [width, height] : kSizes) {
    for (const Sampling& sampling : {Sampling{{1, 1}}, k444, k420, Sampling{{2, 1}, {1, 1}, {1, 1}},
                                     Sampling{{2, 2}, {2, 1}, {1, 2}}}) {
      JpegKind base{.width = width,
                    .height = height,
                    .space = sampling.size() == 1 ? JCS_GRAYSCALE : JCS_YCbCr,
                    .sampling = sampling};
      CAPTURE(width, height, sampling);
      JpegKind progressive = base;
      progressive.progressive = true;
      progressive.restart_rows = 2;
      CheckEncoded(WriteJpeg(progressive));
      CHECK(CheckPlanes(WriteJpeg(progressive)).info.progressive);
      JpegKind separate = base;
      separate.separate_scans = sampling.size() > 1;
      CHECK(CheckPlanes(WriteJpeg(separate)).info.progressive == (sampling.size() > 1));
      CheckEncoded(WriteJpeg(separate));
      JpegKind restarts = base;
      restarts.restart_rows = 1;
      restarts.optimize = true;
      CheckPlanes(WriteJpeg(restarts));
      CheckEncoded(WriteJpeg(restarts));
      // Progressive and not: the same coefficients, so the same file.
      const auto a = DecodeAll(WriteJpeg(progressive), {.budget = &budget});
      const auto b = DecodeAll(WriteJpeg(restarts));
      REQUIRE(a.ok());
      REQUIRE(b.ok());
      CHECK(*EncodeAll(*a) == *EncodeAll(*b));
    }
  }
  CHECK(budget.used_bytes() == 0);
}

std::vector<uint8_t> RgbOf(const Decoded& decoded) { return VisiblePlane(decoded, 0); }

TEST_CASE("RGB, CMYK and YCCK JPEGs are decoded to RGB") {
  struct Case {
    J_COLOR_SPACE space;
    bool adobe;
  };
  for (const Case c :
       {Case{JCS_RGB, true}, Case{JCS_CMYK, true}, Case{JCS_CMYK, false}, Case{JCS_YCCK, true}}) {
    for (const auto& [width, height] : kSizes) {
      for (const bool progressive : {false, true}) {
        CAPTURE(c.space, c.adobe, width, height, progressive);
        JpegKind kind{.width = width, .height = height, .space = c.space};
        kind.sampling.assign(c.space == JCS_RGB ? 3 : 4, {1, 1});
        if (c.space == JCS_YCCK) kind.sampling[0] = kind.sampling[3] = {2, 2};
        kind.jfif = false;
        kind.adobe = c.adobe;
        kind.progressive = progressive;
        const auto file = WriteJpeg(kind);
        for (const SampleMode mode : {SampleMode::kRawPlanes, SampleMode::kInterleaved}) {
          const auto decoded = DecodeAll(file, {.mode = mode}, 1);
          REQUIRE(Reason(decoded.status()) == "OK");
          CHECK(decoded->info.channels == kind.sampling.size());
          std::string error;
          std::vector<uint8_t> expected;
          if (c.space == JCS_RGB) {
            expected = ReadJpegRows(file, JCS_RGB, false, error);
          } else {
            const auto ink = ReadJpegRows(file, JCS_CMYK, false, error);
            for (size_t i = 0; i < ink.size(); i += 4)
              for (size_t ch = 0; ch < 3; ++ch) {
                // Adobe stores the light that is left.
                const int light = c.adobe ? ink[i + ch] : 255 - ink[i + ch];
                const int key = c.adobe ? ink[i + 3] : 255 - ink[i + 3];
                expected.push_back(static_cast<uint8_t>(light * key / 255.0 + 0.5));
              }
          }
          REQUIRE(error == "");
          CHECK(RgbOf(*decoded) == expected);
          const auto& spec = std::get<JpegEncodeSpec>(decoded->spec.format);
          CHECK(spec.color_transform == JpegColorTransform::kRgbToYCbCr);
          // One segment and many: the same bytes.
          const auto whole = DecodeAll(file, {.mode = mode});
          const auto stitched = EncodeAll(*decoded);
          REQUIRE(Reason(stitched.status()) == "OK");
          CHECK(*EncodeAll(*whole) == *stitched);
          const reference::JpegFile jpeg = StrictlyRead(*stitched);
          CHECK(jpeg.components.size() == 3);
        }
      }
    }
  }
}

TEST_CASE("the RGB that went in comes out, but for quantization") {
  const auto file = WriteJpeg({.width = 70, .height = 200, .quality = 100});
  const auto decoded = DecodeAll(file, {.mode = SampleMode::kInterleaved}, 1);
  REQUIRE(decoded.ok());
  CHECK(decoded->layout.planes.size() == 1);
  CHECK(decoded->layout.unit_rows == 16);
  std::string error;
  CHECK(RgbOf(*decoded) == ReadJpegRows(file, JCS_RGB, false, error));
  const auto stitched = EncodeAll(*decoded);
  REQUIRE(stitched.ok());
  const auto again = DecodeAll(*stitched, {.mode = SampleMode::kInterleaved});
  REQUIRE(again.ok());
  const auto before = RgbOf(*decoded), after = RgbOf(*again);
  REQUIRE(before.size() == after.size());
  double error_sum = 0;
  for (size_t i = 0; i < before.size(); ++i) error_sum += std::abs(before[i] - after[i]);
  CHECK(error_sum / static_cast<double>(before.size()) < 8);
}

TEST_CASE("samplings that planes cannot have are decoded to RGB") {
  // Luma that is not the largest; more blocks than an MCU of one scan may have.
  struct Case {
    Sampling sampling;
    bool separate;
  };
  for (const Case& c :
       {Case{{{1, 1}, {2, 2}, {1, 1}}, false}, Case{{{1, 2}, {2, 1}, {1, 1}}, false},
        Case{{{2, 2}, {2, 2}, {2, 2}}, true}, Case{{{4, 2}, {4, 2}, {1, 1}}, true}}) {
    CAPTURE(c.sampling);
    const auto file = WriteJpeg(
        {.width = 45, .height = 150, .sampling = c.sampling, .separate_scans = c.separate});
    const auto decoded = DecodeAll(file, {}, 1);
    REQUIRE(Reason(decoded.status()) == "OK");
    std::string error;
    CHECK(RgbOf(*decoded) == ReadJpegRows(file, JCS_RGB, false, error));
    REQUIRE(error == "");
    const auto stitched = EncodeAll(*decoded);
    REQUIRE(Reason(stitched.status()) == "OK");
    StrictlyRead(*stitched);
  }
  // Where even libjpeg cannot upsample.
  const auto fractional = WriteJpeg({.sampling = {{2, 1}, {3, 1}, {1, 1}}});
  CHECK(Reason(DecodeAll(fractional).status()) == "INVALID_ARGUMENT UNSUPPORTED_FORMAT");
}

TEST_CASE("quantizers beyond baseline are clamped") {
  std::vector<std::vector<unsigned>> tables(3, std::vector<unsigned>(64, 3));
  tables[1].assign(64, 200);
  tables[2][5] = 255;
  JpegKind kind{.sampling = k444};
  std::vector<JpegPlane> planes(3, {24, 40, std::vector<uint8_t>(24 * 40, 90)});
  const auto decoded = DecodeAll(WriteJpegPlanes(kind, planes, tables));
  REQUIRE(decoded.ok());
  const auto& spec = std::get<JpegEncodeSpec>(decoded->spec.format);
  REQUIRE(spec.quant_tables.size() == 3);
  CHECK(spec.quant_tables[0][0] == 3);
  CHECK(spec.quant_tables[1][63] == 200);
  CHECK(spec.quant_tables[2][5] == 255);
  // The same table twice stands once.
  const auto equal = DecodeAll(WriteJpegPlanes(kind, planes, {tables[0], tables[1], tables[1]}));
  REQUIRE(equal.ok());
  CHECK(std::get<JpegEncodeSpec>(equal->spec.format).quant_tables.size() == 2);
}

TEST_CASE("real photographs survive") {
  const char* folder = std::getenv("HISTEQ_TEST_DATA");
  REQUIRE(folder != nullptr);
  for (const char* name : {"retina.jpg", "rocket.jpg", "hubble_deep_field.jpg"}) {
    CAPTURE(name);
    std::FILE* in = std::fopen((std::string(folder) + "/" + name).c_str(), "rb");
    REQUIRE(in != nullptr);
    std::vector<uint8_t> file(1 << 20);
    file.resize(std::fread(file.data(), 1, file.size(), in));
    std::fclose(in);
    const auto decoded = DecodeAll(file, {}, 4);
    REQUIRE(Reason(decoded.status()) == "OK");
    const auto stitched = EncodeAll(*decoded);
    REQUIRE(stitched.ok());
    CheckSameCoefficients(StrictlyRead(*stitched), StrictlyRead(EncodeDirectly(*decoded)));
  }
}

TEST_CASE("segments that do not fit are refused") {
  const auto decoded = DecodeAll(WriteJpeg({.width = 40, .height = 300}));
  REQUIRE(decoded.ok());
  const std::span<const uint8_t> bytes(decoded->segments[0].bytes);
  auto encode = [&](uint32_t f, uint32_t r, size_t size) {
    return Reason(EncodeFragment(decoded->spec, decoded->layout, f, r, bytes.first(size)).status());
  };
  const std::string bad = "INVALID_ARGUMENT INVALID_SEGMENT";
  const auto size_of = [&](uint32_t r) { return SegmentBytes(decoded->layout, r); };
  REQUIRE(FragmentRowMultiple(decoded->spec, decoded->layout) == 128);
  CHECK(encode(0, 128, size_of(128)) == "OK");
  CHECK(encode(256, 44, size_of(44)) == "OK");
  CHECK(encode(128, 172, size_of(172)) == "OK");
  CHECK(encode(0, 0, 0) == bad);
  CHECK(encode(0, 64, size_of(64)) == bad);
  CHECK(encode(64, 236, size_of(236)) == bad);
  CHECK(encode(256, 45, size_of(44)) == bad);
  CHECK(encode(256, 44, size_of(44) - 1) == bad);
  CHECK(encode(128, UINT32_MAX, size_of(128)) == bad);
  // Only the last fragment comes without a restart marker.
  const auto middle =
      EncodeFragment(decoded->spec, decoded->layout, 0, 128, bytes.first(size_of(128)));
  REQUIRE(middle.ok());
  CHECK(middle->bytes[middle->bytes.size() - 2] == 0xFF);
  CHECK(middle->bytes.back() == 0xD7);
}

TEST_CASE("a sink that fails ends the stitching of a JPEG") {
  const auto decoded = DecodeAll(WriteJpeg({}));
  REQUIRE(decoded.ok());
  FullSink none(10);
  CHECK(CreateStitcher(decoded->spec, decoded->metadata, none).status().code() ==
        absl::StatusCode::kResourceExhausted);
}

TEST_CASE("reading in wrong steps is an error and not a crash") {
  const auto file = WriteJpeg({.width = 40, .height = 300});
  for (const uint32_t rows : {0u, 8u, 301u}) {
    MemorySource source(file);
    auto decoder = OpenDecoder(source, {});
    REQUIRE(decoder.ok());
    std::vector<uint8_t> segment(SegmentBytes((*decoder)->layout(), rows));
    CHECK((*decoder)->ReadRows(rows, segment).code() == absl::StatusCode::kInternal);
  }
  MemorySource source(file);
  auto decoder = OpenDecoder(source, {});
  REQUIRE(decoder.ok());
  CHECK_FALSE((*decoder)->Finish().ok());
}

}  // namespace
}  // namespace histeq::codec
