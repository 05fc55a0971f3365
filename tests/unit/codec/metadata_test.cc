// What the output carries on beside the pixels.

#include <algorithm>
#include <catch2/catch.hpp>

#include "codec_run.h"
#include "jpeg_writer.h"
#include "png_writer.h"
#include "reference/jpeg_reader.h"
#include "strict_readers.h"

namespace histeq::codec {
namespace {

std::vector<uint8_t> Bytes(std::string_view text) { return {text.begin(), text.end()}; }

using namespace std::string_view_literals;

const std::vector<uint8_t> kExif = Bytes("Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"sv);
const std::vector<uint8_t> kXmp = Bytes("http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>"sv);
const std::vector<uint8_t> kIcc1 = Bytes("ICC_PROFILE\0\x01\x02 the first half"sv);
const std::vector<uint8_t> kIcc2 = Bytes("ICC_PROFILE\0\x02\x02 the second half"sv);
const std::vector<uint8_t> kMpf = Bytes("MPF\0II*\0 offsets of other pictures"sv);
const std::vector<uint8_t> kIptc = Bytes("Photoshop 3.0\0 8BIM"sv);

JpegKind WithMarkers(J_COLOR_SPACE space, size_t components) {
  JpegKind kind{.space = space};
  kind.sampling.assign(components, {1, 1});
  kind.jfif = space == JCS_YCbCr || space == JCS_GRAYSCALE;
  kind.adobe = !kind.jfif;
  kind.density_unit = 1;
  kind.density_x = 300;
  kind.density_y = 150;
  kind.markers = {{0xE1, kExif},
                  {0xE1, kXmp},
                  {0xE2, kIcc1},
                  {0xE2, kMpf},
                  {0xE2, kIcc2},
                  {0xED, kIptc},
                  {0xFE, Bytes("a comment")}};
  return kind;
}

std::vector<std::pair<int, std::vector<uint8_t>>> SegmentsAfter(const std::vector<uint8_t>& file,
                                                                const DecodeOptions& options = {}) {
  const auto decoded = DecodeAll(file, options);
  REQUIRE(Reason(decoded.status()) == "OK");
  const auto stitched = EncodeAll(*decoded);
  REQUIRE(Reason(stitched.status()) == "OK");
  reference::JpegFile jpeg;
  REQUIRE(reference::ReadJpeg(*stitched, jpeg) == "");
  std::vector<std::pair<int, std::vector<uint8_t>>> segments;
  for (auto& s : jpeg.segments) segments.push_back({s.marker, s.data});
  return segments;
}

TEST_CASE("a JPEG keeps profile, EXIF, XMP, comments and density") {
  for (const bool progressive : {false, true}) {
    JpegKind kind = WithMarkers(JCS_YCbCr, 3);
    kind.progressive = progressive;
    const std::vector<std::pair<int, std::vector<uint8_t>>> expected = {
        {0xE0, Bytes("JFIF\0\x01\x01\x01\x01\x2C\0\x96\0\0"sv)},
        {0xE1, kExif},
        {0xE1, kXmp},
        {0xE2, kIcc1},
        {0xE2, kIcc2},
        {0xED, kIptc},
        {0xFE, Bytes("a comment")}};
    CHECK(SegmentsAfter(WriteJpeg(kind)) == expected);
    CHECK(SegmentsAfter(WriteJpeg(kind), {.mode = SampleMode::kInterleaved}) == expected);
  }
}

TEST_CASE("a gray JPEG without JFIF gets none") {
  JpegKind kind = WithMarkers(JCS_GRAYSCALE, 1);
  kind.jfif = false;
  kind.markers = {{0xE1, kExif}};
  const auto segments = SegmentsAfter(WriteJpeg(kind));
  REQUIRE(segments.size() == 1);
  CHECK(segments[0].second == kExif);
}

TEST_CASE("the JFIF thumbnail goes, since it shows the old picture") {
  JpegKind kind = WithMarkers(JCS_YCbCr, 3);
  kind.markers = {{0xE0, Bytes("JFXX\0\x10 a thumbnail"sv)}};
  const auto segments = SegmentsAfter(WriteJpeg(kind));
  REQUIRE(segments.size() == 1);
  CHECK(segments[0].second.size() == 14);
}

TEST_CASE("an RGB JPEG keeps its profile, and loses the marker that calls it RGB") {
  const auto segments = SegmentsAfter(WriteJpeg(WithMarkers(JCS_RGB, 3)));
  const std::vector<std::pair<int, std::vector<uint8_t>>> expected = {
      {0xE1, kExif}, {0xE1, kXmp},  {0xE2, kIcc1},
      {0xE2, kIcc2}, {0xED, kIptc}, {0xFE, Bytes("a comment")}};
  CHECK(segments == expected);
}

TEST_CASE("a CMYK JPEG loses its CMYK profile") {
  for (const J_COLOR_SPACE space : {JCS_CMYK, JCS_YCCK}) {
    const auto segments = SegmentsAfter(WriteJpeg(WithMarkers(space, 4)));
    const std::vector<std::pair<int, std::vector<uint8_t>>> expected = {
        {0xE1, kExif}, {0xE1, kXmp}, {0xED, kIptc}, {0xFE, Bytes("a comment")}};
    CHECK(segments == expected);
  }
}

TEST_CASE("markers of the longest kind") {
  JpegKind kind = WithMarkers(JCS_YCbCr, 3);
  kind.markers = {{0xE1, std::vector<uint8_t>(65533, 'x')}, {0xFE, {}}, {0xEF, {1}}};
  const auto segments = SegmentsAfter(WriteJpeg(kind));
  REQUIRE(segments.size() == 4);
  CHECK(segments[1].second == kind.markers[0].second);
  CHECK(segments[2].second.empty());
  CHECK(segments[3] == std::pair<int, std::vector<uint8_t>>{0xEF, {1}});
}

// ---- PNG

const std::vector<uint8_t> kGamma = {0, 0, 0xB1, 0x8F};
const std::vector<uint8_t> kChromaticities = {0, 0, 0x7A, 0x26, 0, 0, 0x80, 0x84, 0, 0, 0xFA, 0,
                                              0, 0, 0x80, 0xE8, 0, 0, 0x75, 0x30, 0, 0, 0xEA, 0x60,
                                              0, 0, 0x3A, 0x98, 0, 0, 0x17, 0x70};
const std::vector<uint8_t> kDensity = {0, 0, 0x0B, 0x13, 0, 0, 0x0B, 0x13, 1};

struct Kept {
  std::vector<std::string> types;
  reference::PngImage image;
  std::string complaint;
};

Kept PngAfter(const std::vector<uint8_t>& file) {
  const auto decoded = DecodeAll(file, {}, 5);
  REQUIRE(Reason(decoded.status()) == "OK");
  const auto stitched = EncodeAll(*decoded);
  REQUIRE(Reason(stitched.status()) == "OK");
  Kept kept;
  REQUIRE(reference::ReadPng(*stitched, kept.image) == "");
  for (const auto& c : kept.image.chunks) kept.types.push_back(c.type);
  kept.complaint = PngComplaint(*stitched);
  return kept;
}

using Types = std::vector<std::string>;

TEST_CASE("a PNG keeps its colours, density, texts and EXIF") {
  for (const bool interlaced : {false, true}) {
    auto file = WritePng({.interlaced = interlaced});
    file = WithChunk(file, {"gAMA", kGamma});
    file = WithChunk(file, {"cHRM", kChromaticities});
    file = WithChunk(file, {"sRGB", {0}});
    file = WithChunk(file, {"pHYs", kDensity});
    file = WithChunk(file, {"tEXt", Bytes("Title\0A picture"sv)});
    file = WithChunk(file, {"zTXt", Bytes("Comment\0\0x\x9C\x03\0\0\0\0\x01"sv)});
    file = WithChunk(file, {"iTXt", Bytes("XML:com.adobe.xmp\0\0\0\0\0<x/>"sv)}, "IEND");
    file = WithChunk(file, {"eXIf", Bytes("MM\0*\0\0\0\x08\0\0\0\0\0\0"sv)}, "IEND");
    const Kept kept = PngAfter(file);
    CHECK(kept.types ==
          Types{"IHDR", "gAMA", "cHRM", "sRGB", "pHYs", "tEXt", "zTXt", "iTXt", "eXIf"});
    CHECK(kept.complaint == "");
    CHECK(kept.image.Find("gAMA")->data == kGamma);
    CHECK(kept.image.Find("cHRM")->data == kChromaticities);
    CHECK(kept.image.Find("pHYs")->data == kDensity);
    CHECK(kept.image.Find("tEXt")->data == Bytes("Title\0A picture"sv));
    CHECK(kept.image.Find("eXIf")->data == Bytes("MM\0*\0\0\0\x08\0\0\0\0\0\0"sv));
  }
}

TEST_CASE("a profile is kept as it is") {
  const std::vector<uint8_t> profile = Bytes("my profile\0\0 compressed bytes that stay"sv);
  const Kept kept = PngAfter(WithChunk(WritePng({}), {"iCCP", profile}));
  REQUIRE(kept.types == Types{"IHDR", "iCCP"});
  CHECK(kept.image.Find("iCCP")->data == profile);
  // Either says what the colours are; the first counts.
  CHECK(PngAfter(WithChunk(WithChunk(WritePng({}), {"iCCP", profile}), {"sRGB", {0}})).types ==
        Types{"IHDR", "iCCP"});
  CHECK(PngAfter(WithChunk(WithChunk(WritePng({}), {"sRGB", {0}}), {"iCCP", profile})).types ==
        Types{"IHDR", "sRGB"});
}

TEST_CASE("what described the old samples goes") {
  auto indexed = WritePng({.color_type = 3, .transparent = true});
  indexed = WithChunk(indexed, {"sBIT", {5, 6, 5}}, "PLTE");
  indexed = WithChunk(indexed, {"bKGD", {3}});
  indexed = WithChunk(indexed, {"hIST", std::vector<uint8_t>(512)});
  indexed = WithChunk(indexed, {"tIME", {0x07, 0xE8, 1, 1, 0, 0, 0}});
  indexed = WithChunk(indexed, {"gAMA", kGamma}, "PLTE");
  const Kept kept = PngAfter(indexed);
  CHECK(kept.types == Types{"IHDR", "gAMA"});
  CHECK(kept.image.color_type == 6);
  CHECK(kept.complaint == "");
  const Kept gray = PngAfter(WithChunk(
      WithChunk(WritePng({.color_type = 0, .bit_depth = 4, .transparent = true}), {"sBIT", {3}}),
      {"bKGD", {0, 3}}));
  CHECK(gray.types == Types{"IHDR"});
  CHECK(gray.image.color_type == 4);
  // A palette that only suggests, in an RGB picture.
  CHECK(PngAfter(WithChunk(WritePng({}), {"PLTE", {1, 2, 3}})).types == Types{"IHDR"});
  CHECK(PngAfter(WithChunk(WritePng({}), {"prVt", {1, 2, 3}})).types == Types{"IHDR"});
}

TEST_CASE("chunks that a reader of the output would complain of are not carried on") {
  auto with = [](const reference::PngChunk& chunk, const std::string& before = "IDAT") {
    return PngAfter(WithChunk(WritePng({}), chunk, before)).types;
  };
  CHECK(with({"gAMA", {0, 0, 1}}) == Types{"IHDR"});
  CHECK(with({"pHYs", std::vector<uint8_t>(8)}) == Types{"IHDR"});
  CHECK(with({"cHRM", std::vector<uint8_t>(31)}) == Types{"IHDR"});
  CHECK(with({"tEXt", Bytes("no end of the keyword")}) == Types{"IHDR"});
  CHECK(with({"tEXt", Bytes("\0no keyword"sv)}) == Types{"IHDR"});
  CHECK(with({"tEXt", Bytes(std::string(80, 'k') + '\0')}) == Types{"IHDR"});
  CHECK(with({"tEXt", Bytes(std::string(79, 'k') + '\0')}) == Types{"IHDR", "tEXt"});
  // Colours after the pixels come too late.
  CHECK(with({"gAMA", kGamma}, "IEND") == Types{"IHDR"});
  CHECK(PngAfter(WithChunk(WithChunk(WritePng({}), {"gAMA", kGamma}), {"gAMA", {0, 0, 1, 1}}))
            .image.chunks[1]
            .data == kGamma);
}

}  // namespace
}  // namespace histeq::codec
