#include <catch2/catch.hpp>

#include "base/error.h"
#include "codec_run.h"
#include "jpeg_writer.h"
#include "memory_stream.h"
#include "png_writer.h"

namespace histeq::codec {
namespace {

absl::StatusOr<ImageInfo> Probe(std::span<const uint8_t> file, const DecodeLimits& limits = {}) {
  MemorySource source(file, 777);
  return ProbeImage(source, limits);
}

std::string ProbeReason(std::span<const uint8_t> file, const DecodeLimits& limits = {}) {
  return Reason(Probe(file, limits).status());
}

std::map<std::string, std::string> Facts(const absl::Status& status) {
  return base::GetErrorDetail(status)->metadata;
}

std::vector<uint8_t> Bytes(std::string_view text) { return {text.begin(), text.end()}; }

// A JPEG's frame header says another size.
std::vector<uint8_t> Resized(std::vector<uint8_t> jpeg, int width, int height) {
  for (size_t i = 2; i + 9 < jpeg.size(); i += 2 + (size_t{jpeg[i + 2]} << 8 | jpeg[i + 3])) {
    if (jpeg[i + 1] < 0xC0 || jpeg[i + 1] > 0xC2) continue;
    jpeg[i + 5] = static_cast<uint8_t>(height >> 8), jpeg[i + 6] = static_cast<uint8_t>(height);
    jpeg[i + 7] = static_cast<uint8_t>(width >> 8), jpeg[i + 8] = static_cast<uint8_t>(width);
    break;
  }
  return jpeg;
}

std::vector<uint8_t> PngOfSize(uint32_t width, uint32_t height) {
  auto chunks = reference::SplitPng(WritePng({}));
  for (int i = 0; i < 4; ++i) {
    chunks[0].data[static_cast<size_t>(i)] = static_cast<uint8_t>(width >> (24 - 8 * i));
    chunks[0].data[static_cast<size_t>(4 + i)] = static_cast<uint8_t>(height >> (24 - 8 * i));
  }
  return reference::JoinPng(chunks);
}

TEST_CASE("what a JPEG's header says") {
  struct Case {
    J_COLOR_SPACE space;
    uint32_t channels;
  };
  for (const Case c : {Case{JCS_GRAYSCALE, 1}, Case{JCS_YCbCr, 3}, Case{JCS_RGB, 3},
                       Case{JCS_CMYK, 4}, Case{JCS_YCCK, 4}}) {
    for (const bool progressive : {false, true}) {
      JpegKind kind{.width = 123, .height = 45, .space = c.space};
      kind.sampling.assign(c.channels, {1, 1});
      kind.progressive = progressive;
      kind.jfif = c.space == JCS_GRAYSCALE || c.space == JCS_YCbCr;
      kind.adobe = !kind.jfif;
      const auto info = Probe(WriteJpeg(kind));
      REQUIRE(Reason(info.status()) == "OK");
      CHECK(info->format == ImageFormat::kJpeg);
      CHECK(info->width == 123);
      CHECK(info->height == 45);
      CHECK(info->channels == c.channels);
      CHECK(info->bits_per_sample == 8);
      CHECK_FALSE(info->has_alpha);
      CHECK(info->progressive == progressive);
    }
  }
}

TEST_CASE("what a PNG's header says") {
  struct Case {
    int color_type, bit_depth;
    bool transparent;
    uint32_t channels;
    bool alpha;
  };
  for (const Case c :
       {Case{0, 1, false, 1, false}, Case{0, 16, true, 1, true}, Case{2, 8, false, 3, false},
        Case{3, 4, true, 1, true}, Case{4, 16, false, 2, true}, Case{6, 8, false, 4, true}}) {
    for (const bool interlaced : {false, true}) {
      const auto info = Probe(WritePng({.color_type = c.color_type,
                                        .bit_depth = c.bit_depth,
                                        .interlaced = interlaced,
                                        .transparent = c.transparent}));
      REQUIRE(Reason(info.status()) == "OK");
      CHECK(info->format == ImageFormat::kPng);
      CHECK(info->width == 17);
      CHECK(info->height == 33);
      CHECK(info->channels == c.channels);
      CHECK(info->bits_per_sample == static_cast<uint32_t>(c.bit_depth));
      CHECK(info->has_alpha == c.alpha);
      CHECK(info->progressive == interlaced);
    }
  }
}

TEST_CASE("the header is enough") {
  auto jpeg = WriteJpeg({.width = 640, .height = 480});
  jpeg.resize(jpeg.size() / 2);
  CHECK(ProbeReason(jpeg) == "OK");
  auto png = WritePng({.width = 640, .height = 480});
  png.resize(png.size() / 2);
  CHECK(ProbeReason(png) == "OK");
}

TEST_CASE("what is no image says so") {
  using namespace std::string_view_literals;
  const std::string not_image = "INVALID_ARGUMENT NOT_AN_IMAGE";
  const std::string unsupported = "INVALID_ARGUMENT UNSUPPORTED_FORMAT";
  const std::string truncated = "INVALID_ARGUMENT IMAGE_TRUNCATED";
  CHECK(ProbeReason({}) == not_image);
  CHECK(ProbeReason(Bytes("hello, this is text")) == not_image);
  CHECK(ProbeReason(Bytes("x")) == not_image);
  CHECK(ProbeReason(std::vector<uint8_t>(1000, 0)) == not_image);
  CHECK(ProbeReason(Bytes("\xFF"sv)) == truncated);
  CHECK(ProbeReason(Bytes("\xFF\xD8"sv)) == truncated);
  CHECK(ProbeReason(Bytes("\xFF\xD8\xFF"sv)) == truncated);
  CHECK(ProbeReason(Bytes("\x89PNG"sv)) == truncated);
  CHECK(ProbeReason(Bytes("\x89PNG\r\n\x1A\n"sv)) == truncated);
  CHECK(ProbeReason(Bytes("\x89PNG\n\x1A\n and so on"sv)) == not_image);
  for (const auto magic : {"II*\0...."sv, "MM\0*...."sv, "II+\0...."sv, "GIF89a.."sv, "RIFF...."sv,
                           "BM......"sv, "\0\0\0\x0CjP  "sv,
                           "\0\0\0\x20"
                           "ftypheic...."sv,
                           "\0\0\0\x1C"
                           "ftypavif...."sv})
    CHECK(ProbeReason(Bytes(magic)) == unsupported);
  CHECK(ProbeReason(Bytes("\0\0\0\x20"
                          "ftypisom...."sv)) == not_image);
  // A message that a person understands.
  CHECK(Probe(Bytes("GIF89a...")).status().message().find("GIF") != std::string::npos);
}

TEST_CASE("kinds of JPEG that are not supported") {
  const std::string unsupported = "INVALID_ARGUMENT UNSUPPORTED_FORMAT";
  CHECK(ProbeReason(WriteJpeg({.arithmetic = true})) == unsupported);
  auto edit = [](uint8_t marker, size_t offset, uint8_t value) {
    auto file = WriteJpeg({});
    for (size_t i = 2; i + 4 < file.size(); i += 2 + (size_t{file[i + 2]} << 8 | file[i + 3]))
      if (file[i + 1] == 0xC0) {
        file[i + 1] = marker;
        file[i + offset] = value;
        break;
      }
    return file;
  };
  // Lossless; 12 bits.
  CHECK(ProbeReason(edit(0xC3, 4, 8)) == unsupported);
  CHECK(ProbeReason(edit(0xC1, 4, 12)) == unsupported);
}

TEST_CASE("sizes beyond the limits are seen in the header") {
  const std::string large = "INVALID_ARGUMENT IMAGE_TOO_LARGE";
  const auto jpeg = WriteJpeg({});
  CHECK(ProbeReason(Resized(jpeg, 40000, 24999)) == "OK");
  CHECK(ProbeReason(Resized(jpeg, 40000, 25001)) == large);
  CHECK(ProbeReason(Resized(jpeg, 65535, 1)) == large);
  CHECK(Facts(Probe(Resized(jpeg, 65535, 1)).status()) ==
        std::map<std::string, std::string>{{"limit", "65500"}, {"actual", "65535"}});
  CHECK(ProbeReason(PngOfSize(1'000'000, 1000)) == "OK");
  CHECK(ProbeReason(PngOfSize(1'000'000, 1001)) == large);
  CHECK(ProbeReason(PngOfSize(1'000'001, 1)) == large);
  CHECK(ProbeReason(PngOfSize(1, 1'000'001)) == large);
  // The product does not wrap.
  CHECK(ProbeReason(PngOfSize(0x7FFFFFFF, 0x7FFFFFFF)) == large);
  CHECK(ProbeReason(PngOfSize(0x7FFFFFFF, 0x7FFFFFFF),
                    {.max_pixels = UINT64_MAX, .max_dimension = 0x7FFFFFFF}) == "OK");
  CHECK(ProbeReason(PngOfSize(0x80000000, 1)) == "INVALID_ARGUMENT IMAGE_CORRUPT");
  CHECK(ProbeReason(PngOfSize(0, 1)) == "INVALID_ARGUMENT IMAGE_CORRUPT");
  CHECK(ProbeReason(Resized(jpeg, 0, 5)) == "INVALID_ARGUMENT IMAGE_CORRUPT");
  // The decoder does not go on either.
  CHECK(Reason(DecodeAll(PngOfSize(70'000, 70'000)).status()) == large);
  CHECK(Reason(DecodeAll(Resized(jpeg, 40000, 40000)).status()) == large);
  const auto status = Probe(WritePng({}), {.max_pixels = 560}).status();
  CHECK(Facts(status) == std::map<std::string, std::string>{{"limit", "560"}, {"actual", "561"}});
  CHECK(ProbeReason(WritePng({}), {.max_pixels = 561}) == "OK");
  CHECK(ProbeReason(jpeg, {.max_dimension = 32}) == large);
  CHECK(ProbeReason(jpeg, {.max_dimension = 33}) == "OK");
}

TEST_CASE("metadata beyond the limit") {
  const std::string large = "INVALID_ARGUMENT METADATA_TOO_LARGE";
  JpegKind kind;
  for (int i = 0; i < 20; ++i) kind.markers.push_back({0xE1, std::vector<uint8_t>(60'000, 'x')});
  const auto jpeg = WriteJpeg(kind);
  CHECK(ProbeReason(jpeg, {.max_metadata_bytes = 500'000}) == large);
  const auto facts = Facts(Probe(jpeg, {.max_metadata_bytes = 500'000}).status());
  REQUIRE(facts.contains("actual"));
  CHECK(facts.at("limit") == "500000");
  CHECK(std::stoull(facts.at("actual")) > 500'000);
  CHECK(std::stoull(facts.at("actual")) <= jpeg.size());
  CHECK(ProbeReason(jpeg, {.max_metadata_bytes = 2'000'000}) == "OK");
  CHECK(Reason(DecodeAll(jpeg, {.limits = {.max_metadata_bytes = 500'000}}).status()) == large);
  CHECK(Reason(DecodeAll(jpeg, {.limits = {.max_metadata_bytes = 2'000'000}}).status()) == "OK");
  // Many small ones cost more memory than they are long.
  kind.markers.assign(10'000, {0xFE, {}});
  CHECK(Reason(DecodeAll(WriteJpeg(kind), {.limits = {.max_metadata_bytes = 100'000}}).status()) ==
        large);
  CHECK(Reason(DecodeAll(WriteJpeg(kind)).status()) == "OK");

  const auto png = WithChunk(WritePng({}), {"tEXt", Bytes("Comment" + std::string(300'000, '\0'))});
  CHECK(ProbeReason(png, {.max_metadata_bytes = 200'000}) == large);
  CHECK(ProbeReason(png, {.max_metadata_bytes = 400'000}) == "OK");
  // A length alone makes nobody allocate, nor read on.
  auto lying = WritePng({});
  const uint8_t chunk[] = {0x7F, 0xFF, 0xFF, 0xFF, 't', 'E', 'X', 't'};
  lying.insert(lying.begin() + 33, std::begin(chunk), std::end(chunk));
  CHECK(ProbeReason(lying) == large);
  // Unknown chunks count too, as long as they stand in the header.
  CHECK(ProbeReason(WithChunk(WritePng({}), {"abCd", std::vector<uint8_t>(300'000)}),
                    {.max_metadata_bytes = 200'000}) == large);
  // After the pixels as well, where they are kept.
  const auto late =
      WithChunk(WritePng({}), {"tEXt", Bytes("Comment" + std::string(300'000, '\0'))}, "IEND");
  CHECK(Reason(DecodeAll(late, {.limits = {.max_metadata_bytes = 200'000}}).status()) == large);
}

TEST_CASE("an error of the source is handed on") {
  for (const auto& file : {WriteJpeg({.width = 500, .height = 500}),
                           WritePng({.width = 500, .height = 500, .interlaced = true})}) {
    for (const size_t at : {size_t{0}, size_t{5}, size_t{30}, file.size() / 2, file.size() - 1}) {
      MemorySource source(std::span<const uint8_t>(file).first(at), SIZE_MAX,
                          absl::AbortedError("gone"));
      auto decoder = OpenDecoder(source, {});
      absl::Status status = decoder.status();
      if (decoder.ok()) {
        std::vector<uint8_t> segment(SegmentBytes((*decoder)->layout(), 500));
        status = (*decoder)->ReadRows(500, segment);
        if (status.ok()) status = (*decoder)->Finish();
      }
      CHECK(status.code() == absl::StatusCode::kAborted);
    }
  }
}

TEST_CASE("names of formats") {
  CHECK(std::string(FormatName(ImageFormat::kJpeg)) == "JPEG");
  CHECK(std::string(FormatName(ImageFormat::kPng)) == "PNG");
}

}  // namespace
}  // namespace histeq::codec
