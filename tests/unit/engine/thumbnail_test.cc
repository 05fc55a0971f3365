// Thumbnails through RunJob: size rules, orientation, colours, alpha, several results, and the same
// bytes wherever they are made.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "catch2/catch.hpp"
#include "codec/color_profile.h"
#include "codec/orientation.h"
#include "engine/run_job.h"
#include "engine/thread_executor.h"
#include "files.h"
#include "resample.h"
#include "streams.h"
#include "thumbnail_geometry.h"

namespace histeq::testing {
namespace {

using engine::Operation;
using engine::ThumbnailParameters;
using Fit = ThumbnailParameters::Fit;

ThumbnailParameters Thumbnail(uint32_t width, uint32_t height, Fit fit = Fit::kInside) {
  ThumbnailParameters parameters;
  parameters.width = width;
  parameters.height = height;
  parameters.fit = fit;
  return parameters;
}

Operation ThumbnailOf(const ThumbnailParameters& parameters) {
  Operation operation;
  operation.kind = Operation::Kind::kThumbnail;
  operation.thumbnails = {parameters};
  return operation;
}

Operation DeriveOf(std::vector<ThumbnailParameters> thumbnails, bool equalizes = false) {
  Operation operation;
  operation.kind = Operation::Kind::kDerive;
  operation.thumbnails = std::move(thumbnails);
  operation.equalizes = equalizes;
  return operation;
}

// The results, one by one.
std::vector<Bytes> Results(const Bytes& file, const Operation& operation,
                           engine::Executor* executor = nullptr, uint64_t small_image_bytes = 0) {
  engine::InlineExecutor here;
  engine::JobOptions options;
  base::MemoryBudget budget(64 << 20);
  options.budget = &budget;
  options.small_image_bytes = small_image_bytes;
  TestSource source(file);
  TestSink sink;
  const auto result =
      engine::RunJob(source, sink, operation, executor != nullptr ? *executor : here, options);
  INFO(result.status().ToString());
  REQUIRE(result.ok());
  REQUIRE(result->result_bytes.size() == engine::ResultCount(operation));
  CHECK(budget.used_bytes() == 0);
  std::vector<Bytes> out;
  size_t at = 0;
  for (const uint64_t bytes : result->result_bytes) {
    REQUIRE(bytes <= sink.bytes().size() - at);
    out.emplace_back(sink.bytes().begin() + static_cast<ptrdiff_t>(at),
                     sink.bytes().begin() + static_cast<ptrdiff_t>(at + bytes));
    at += bytes;
  }
  REQUIRE(at == sink.bytes().size());
  return out;
}

Bytes Make(const Bytes& file, const ThumbnailParameters& parameters) {
  return Results(file, ThumbnailOf(parameters)).at(0);
}

reference::Image Decode(const Bytes& file) {
  return file.at(0) == 0xFF ? DecodeJpeg(file) : DecodePng(file);
}

codec::Metadata MetadataOf(const Bytes& file) {
  TestSource source(file);
  auto decoder = codec::OpenDecoder(source, {});
  REQUIRE(decoder.ok());
  const auto& layout = (*decoder)->layout();
  std::vector<uint8_t> samples(codec::SegmentBytes(layout, (*decoder)->encode_spec().height));
  REQUIRE((*decoder)->ReadRows((*decoder)->encode_spec().height, samples).ok());
  REQUIRE((*decoder)->Finish().ok());
  return (*decoder)->metadata();
}

Bytes WithMarker(const Bytes& jpeg, int marker, const Bytes& payload) {
  Bytes out(jpeg.begin(), jpeg.begin() + 2);
  const size_t length = payload.size() + 2;
  for (const size_t byte : {size_t{0xFF}, static_cast<size_t>(marker), length >> 8, length & 255})
    out.push_back(static_cast<uint8_t>(byte));
  out.insert(out.end(), payload.begin(), payload.end());
  out.insert(out.end(), jpeg.begin() + 2, jpeg.end());
  return out;
}

uint32_t Crc32(const uint8_t* bytes, size_t size) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < size; ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  return ~crc;
}

// A chunk behind IHDR.
Bytes WithChunk(const Bytes& png, const std::string& type, const Bytes& data) {
  constexpr size_t kAfterHeader = 8 + 25;
  Bytes chunk;
  const auto append32 = [&](uint32_t v) {
    for (int shift = 24; shift >= 0; shift -= 8) chunk.push_back(static_cast<uint8_t>(v >> shift));
  };
  append32(static_cast<uint32_t>(data.size()));
  chunk.insert(chunk.end(), type.begin(), type.end());
  chunk.insert(chunk.end(), data.begin(), data.end());
  append32(Crc32(chunk.data() + 4, chunk.size() - 4));
  Bytes out = png;
  out.insert(out.begin() + kAfterHeader, chunk.begin(), chunk.end());
  return out;
}

Bytes Tiff(uint16_t orientation, bool big_endian) {
  Bytes out = big_endian ? Bytes{'M', 'M', 0, 42, 0, 0, 0, 8} : Bytes{'I', 'I', 42, 0, 8, 0, 0, 0};
  const auto append = [&](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i)
      out.push_back(static_cast<uint8_t>(value >> 8 * (big_endian ? bytes - 1 - i : i)));
  };
  append(2, 2);
  // A tag before it.
  for (const auto& [tag, value] :
       {std::pair<uint32_t, uint32_t>{0x0100, 9}, {0x0112, orientation}}) {
    append(tag, 2);
    append(3, 2);
    append(1, 4);
    append(value, 2);
    append(0, 2);
  }
  append(0, 4);
  return out;
}

Bytes Exif(uint16_t orientation, bool big_endian) {
  Bytes out = {'E', 'x', 'i', 'f', 0, 0};
  const Bytes tiff = Tiff(orientation, big_endian);
  out.insert(out.end(), tiff.begin(), tiff.end());
  return out;
}

double Difference(const reference::Image& a, const reference::Image& b) {
  REQUIRE(a.shape.width == b.shape.width);
  REQUIRE(a.shape.height == b.shape.height);
  REQUIRE(a.samples.size() == b.samples.size());
  double most = 0;
  for (size_t i = 0; i < a.samples.size(); ++i)
    most = std::max(most, std::abs(double(a.samples[i]) - double(b.samples[i])));
  return most;
}

std::vector<uint16_t> Narrow(const std::vector<uint32_t>& samples) {
  return {samples.begin(), samples.end()};
}

// The stored picture that EXIF's number turns into `upright`.
reference::Image Turned(const reference::Image& upright, uint32_t orientation) {
  reference::Image stored = upright;
  if (codec::ExchangesAxes(orientation)) std::swap(stored.shape.width, stored.shape.height);
  const uint32_t n = upright.shape.channels;
  for (uint32_t y = 0; y < stored.shape.height; ++y)
    for (uint32_t x = 0; x < stored.shape.width; ++x) {
      const codec::Position at =
          codec::Upright(orientation, stored.shape.width, stored.shape.height, {x, y});
      for (uint32_t c = 0; c < n; ++c)
        stored.samples[(size_t{y} * stored.shape.width + x) * n + c] =
            upright.samples[(size_t{at.y} * upright.shape.width + at.x) * n + c];
    }
  return stored;
}

TEST_CASE("sizes of thumbnails") {
  struct Case {
    uint32_t width, height;
    ThumbnailParameters parameters;
    uint32_t expected_width, expected_height;
    resize::Region region;
  };
  const auto enlarged = [](ThumbnailParameters p) {
    p.enlarge = true;
    return p;
  };
  const Case cases[] = {
      {4000, 3000, Thumbnail(256, 256), 256, 192, {0, 0, 4000, 3000}},
      {3000, 4000, Thumbnail(256, 256), 192, 256, {0, 0, 3000, 4000}},
      {100, 80, Thumbnail(256, 256), 100, 80, {0, 0, 100, 80}},
      {100, 80, enlarged(Thumbnail(256, 256)), 256, 205, {0, 0, 100, 80}},
      {10000, 1, Thumbnail(256, 256), 256, 1, {0, 0, 10000, 1}},
      {1, 10000, Thumbnail(256, 256), 1, 256, {0, 0, 1, 10000}},
      {300, 100, Thumbnail(256, 256), 256, 85, {0, 0, 300, 100}},
      {4000, 3000, Thumbnail(200, 200, Fit::kCover), 200, 200, {500, 0, 3000, 3000}},
      {3000, 4000, Thumbnail(400, 100, Fit::kCover), 400, 100, {0, 1625, 3000, 750}},
      {100, 50, Thumbnail(200, 200, Fit::kCover), 100, 50, {0, 0, 100, 50}},
      {1000, 100, Thumbnail(256, 256, Fit::kCover), 256, 100, {372, 0, 256, 100}},
      {100, 50, enlarged(Thumbnail(200, 200, Fit::kCover)), 200, 200, {25, 0, 50, 50}},
      {4000, 3000, Thumbnail(200, 300, Fit::kExact), 200, 300, {0, 0, 4000, 3000}},
      {100, 3000, Thumbnail(200, 300, Fit::kExact), 100, 300, {0, 0, 100, 3000}},
      {100, 30, enlarged(Thumbnail(200, 300, Fit::kExact)), 200, 300, {0, 0, 100, 30}},
      {1000000, 1000000, Thumbnail(16384, 16384), 16384, 16384, {0, 0, 1000000, 1000000}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.width, c.height, c.parameters.width, c.parameters.height, int(c.parameters.fit));
    const auto geometry = engine::GeometryOf(c.parameters, c.width, c.height);
    CHECK(geometry.width == c.expected_width);
    CHECK(geometry.height == c.expected_height);
    CHECK(geometry.region.left == Approx(c.region.left));
    CHECK(geometry.region.top == Approx(c.region.top));
    CHECK(geometry.region.width == Approx(c.region.width));
    CHECK(geometry.region.height == Approx(c.region.height));
    // Bits, not about: nothing may reach beyond.
    CHECK(geometry.region.left + geometry.region.width <= c.width);
    CHECK(geometry.region.top + geometry.region.height <= c.height);
  }
  for (uint32_t width = 1; width < 40; ++width)
    for (uint32_t height = 1; height < 40; ++height)
      for (const Fit fit : {Fit::kInside, Fit::kCover, Fit::kExact}) {
        const auto geometry = engine::GeometryOf(Thumbnail(7, 13, fit), width, height);
        const bool right = geometry.width >= 1 && geometry.height >= 1 &&
                           geometry.width <= std::min(7u, width) &&
                           geometry.height <= std::min(13u, height) &&
                           geometry.region.left + geometry.region.width <= width &&
                           geometry.region.top + geometry.region.height <= height;
        CAPTURE(width, height, int(fit));
        REQUIRE(right);
      }
}

TEST_CASE("a PNG's thumbnail is the twin's") {
  for (const uint32_t channels : {1u, 3u}) {
    const reference::Image image = Photograph("chelsea.png", channels, 300, 200);
    for (const auto& [fit, width, height] :
         {std::tuple{Fit::kInside, 90u, 60u}, {Fit::kExact, 31u, 77u}}) {
      const auto expected = reference::Resample({.source_width = 300,
                                                 .source_height = 200,
                                                 .channels = channels,
                                                 .region_width = 300,
                                                 .region_height = 200,
                                                 .width = width,
                                                 .height = height},
                                                Narrow(image.samples));
      const reference::Image out = Decode(Make(MakePng(image), Thumbnail(width, height, fit)));
      REQUIRE(out.samples.size() == expected.size());
      double most = 0;
      for (size_t i = 0; i < expected.size(); ++i)
        most = std::max(most, std::abs(double(out.samples[i]) - double(expected[i])));
      CHECK(most <= 1);
    }
  }
}

TEST_CASE("a JPEG at each scale shows what the twin shows") {
  const reference::Image image = Photograph("coffee.png", 3, 800, 560);
  const Bytes file = MakeJpeg(image, {.quality = 95});
  const reference::Image whole = DecodeJpeg(file);
  // 1/1 twice (interpolated colours and repeated ones), 1/2, 1/4, 1/8.
  for (const uint32_t width : {600u, 300u, 180u, 90u, 40u}) {
    const uint32_t height = width * 7 / 10;
    const auto expected = reference::Resample({.source_width = 800,
                                               .source_height = 560,
                                               .channels = 3,
                                               .region_width = 800,
                                               .region_height = 560,
                                               .width = width,
                                               .height = height},
                                              Narrow(whole.samples));
    ThumbnailParameters parameters = Thumbnail(width, height);
    parameters.format = codec::ImageFormat::kPng;
    const reference::Image out = Decode(Make(file, parameters));
    REQUIRE(out.samples.size() == expected.size());
    double squares = 0;
    for (size_t i = 0; i < expected.size(); ++i)
      squares += std::pow(double(out.samples[i]) - double(expected[i]), 2);
    CAPTURE(width);
    // 36 dB and more.
    CHECK(squares / static_cast<double>(expected.size()) < 16);
  }
}

TEST_CASE("light is averaged of a JPEG as of a PNG, in every size") {
  // Half black, half white: half of white's light is 188, the mean of the samples 128.
  reference::Image board = Photograph("camera.png", 1, 512, 512);
  for (size_t i = 0; i < board.samples.size(); ++i)
    board.samples[i] = (i % 512 + i / 512) % 2 == 0 ? 255 : 0;
  const Bytes jpeg = MakeJpeg(board, {.quality = 100});
  const Bytes png = MakePng(board);
  for (const uint32_t width : {400u, 250u, 128u, 64u, 40u, 5u}) {
    ThumbnailParameters parameters = Thumbnail(width, width);
    parameters.format = codec::ImageFormat::kPng;
    parameters.linear_light = true;
    const reference::Image of_jpeg = Decode(Make(jpeg, parameters));
    const reference::Image of_png = Decode(Make(png, parameters));
    REQUIRE(of_jpeg.samples.size() == of_png.samples.size());
    double jpeg_sum = 0, png_sum = 0;
    for (size_t i = 0; i < of_png.samples.size(); ++i) {
      jpeg_sum += of_jpeg.samples[i];
      png_sum += of_png.samples[i];
    }
    CAPTURE(width);
    CHECK(Difference(of_jpeg, of_png) <= 3);
    CHECK(std::abs(jpeg_sum - png_sum) / static_cast<double>(of_png.samples.size()) < 1);
    // Of larger sizes stripes are left.
    if (width <= 128) CHECK(std::abs(jpeg_sum / (width * width) - 188) < 1);
  }
}

TEST_CASE("thumbnails stand upright, and say nothing of turning") {
  const reference::Image upright = Photograph("chelsea.png", 3, 120, 90);
  ThumbnailParameters parameters = Thumbnail(50, 40);
  SECTION("inside") {}
  SECTION("cover") { parameters = Thumbnail(40, 40, Fit::kCover); }
  SECTION("exact") { parameters = Thumbnail(30, 50, Fit::kExact); }
  SECTION("its own size") { parameters = Thumbnail(500, 500); }
  const reference::Image expected = Decode(Make(MakePng(upright), parameters));
  for (uint16_t orientation = 1; orientation <= 8; ++orientation) {
    for (const bool big_endian : {false, true}) {
      const reference::Image stored = Turned(upright, orientation);
      CAPTURE(orientation, big_endian);
      const Bytes png =
          Make(WithChunk(MakePng(stored), "eXIf", Tiff(orientation, big_endian)), parameters);
      CHECK(Difference(Decode(png), expected) <= 1);
      CHECK(MetadataOf(png).pieces.empty());
      const Bytes file =
          WithMarker(MakeJpeg(stored, {.quality = 100, .horizontal = 1, .vertical = 1}), 0xE1,
                     Exif(orientation, big_endian));
      ThumbnailParameters as_png = parameters;
      as_png.format = codec::ImageFormat::kPng;
      CHECK(Difference(Decode(Make(file, as_png)), expected) <= 12);
      CHECK(MetadataOf(Make(file, parameters)).pieces.empty());
    }
  }
}

TEST_CASE("EXIF data of any bytes") {
  const Bytes good = Tiff(6, true);
  CHECK(codec::ExifOrientation(good) == 6);
  for (size_t size = 0; size < good.size(); ++size) {
    const uint32_t orientation = codec::ExifOrientation(std::span(good).first(size));
    CHECK((orientation == 1 || orientation == 6));
  }
  for (size_t at = 0; at < good.size(); ++at) {
    for (const uint8_t byte : {0x00, 0x7F, 0x80, 0xFF}) {
      Bytes changed = good;
      changed[at] = byte;
      const uint32_t orientation = codec::ExifOrientation(changed);
      CHECK((orientation >= 1 && orientation <= 8));
    }
  }
  for (const uint16_t wrong : {0, 9, 65535}) CHECK(codec::ExifOrientation(Tiff(wrong, false)) == 1);
}

Bytes Profile(const char* space, size_t size) {
  Bytes profile(size);
  for (size_t i = 0; i < size; ++i) profile[i] = static_cast<uint8_t>(i * 7);
  for (int i = 0; i < 4; ++i) {
    profile[static_cast<size_t>(i)] = static_cast<uint8_t>(size >> (24 - 8 * i));
    profile[static_cast<size_t>(16 + i)] = static_cast<uint8_t>(space[i]);
  }
  return profile;
}

Bytes ProfilePiece(const Bytes& profile, size_t begin, size_t end, uint8_t number, uint8_t count) {
  Bytes out = {'I', 'C', 'C', '_', 'P', 'R', 'O', 'F', 'I', 'L', 'E', 0, number, count};
  out.insert(out.end(), profile.begin() + static_cast<ptrdiff_t>(begin),
             profile.begin() + static_cast<ptrdiff_t>(end));
  return out;
}

Bytes ProfileOf(const Bytes& file) {
  return codec::ColorProfileOf(
      MetadataOf(file), file[0] == 0xFF ? codec::ImageFormat::kJpeg : codec::ImageFormat::kPng,
      1 << 20);
}

TEST_CASE("ICC profiles are kept, from each format to each") {
  const reference::Image image = Photograph("chelsea.png", 3, 64, 48);
  // In two pieces, in the wrong order.
  const Bytes profile = Profile("RGB ", 70'000);
  const Bytes jpeg =
      WithMarker(WithMarker(MakeJpeg(image), 0xE2, ProfilePiece(profile, 0, 40'000, 1, 2)), 0xE2,
                 ProfilePiece(profile, 40'000, profile.size(), 2, 2));
  for (const auto format : {codec::ImageFormat::kJpeg, codec::ImageFormat::kPng}) {
    ThumbnailParameters parameters = Thumbnail(20, 20);
    parameters.format = format;
    const Bytes first = Make(jpeg, parameters);
    CHECK(ProfileOf(first) == profile);
    for (const auto next : {codec::ImageFormat::kJpeg, codec::ImageFormat::kPng}) {
      parameters.format = next;
      parameters.width = 10;
      CHECK(ProfileOf(Make(first, parameters)) == profile);
    }
  }
  ThumbnailParameters parameters = Thumbnail(20, 20);
  SECTION("a piece is missing") {
    const Bytes broken = WithMarker(MakeJpeg(image), 0xE2, ProfilePiece(profile, 0, 40'000, 1, 2));
    CHECK(ProfileOf(Make(broken, parameters)).empty());
  }
  SECTION("a piece comes twice, or has no number") {
    for (const uint8_t number : {0, 1}) {
      const Bytes broken =
          WithMarker(WithMarker(MakeJpeg(image), 0xE2, ProfilePiece(profile, 0, 40'000, 1, 2)),
                     0xE2, ProfilePiece(profile, 40'000, 50'000, number, 2));
      CHECK(ProfileOf(Make(broken, parameters)).empty());
    }
  }
  SECTION("it is for other colours") {
    const Bytes gray = Profile("GRAY", 500);
    CHECK(ProfileOf(
              Make(WithMarker(MakeJpeg(image), 0xE2, ProfilePiece(gray, 0, 500, 1, 1)), parameters))
              .empty());
    const reference::Image gray_image = Photograph("camera.png", 1, 64, 48);
    const Bytes kept = WithMarker(MakeJpeg(gray_image), 0xE2, ProfilePiece(gray, 0, 500, 1, 1));
    CHECK(ProfileOf(Make(kept, parameters)) == gray);
  }
  SECTION("a chunk that is no deflate stream") {
    const Bytes broken = WithChunk(MakePng(image), "iCCP", {'x', 0, 0, 1, 2, 3, 4, 5});
    CHECK(ProfileOf(Make(broken, parameters)).empty());
  }
}

TEST_CASE("alpha stays in a PNG, and is laid over the background in a JPEG") {
  reference::Image image = Photograph("chelsea.png", 4, 64, 64);
  // The left half is transparent.
  for (size_t i = 0; i < image.samples.size(); i += 4)
    image.samples[i + 3] = (i / 4) % 64 < 32 ? 0 : 255;
  const Bytes file = MakePng(image);
  const reference::Image png = Decode(Make(file, Thumbnail(16, 16)));
  CHECK(png.shape.channels == 4);
  CHECK(png.samples[3] == 0);
  CHECK(png.samples[15 * 4 + 3] == 255);
  for (const uint32_t background : {0xffffffu, 0x20c040u, 0u}) {
    ThumbnailParameters parameters = Thumbnail(16, 16);
    parameters.format = codec::ImageFormat::kJpeg;
    parameters.quality = 100;
    parameters.background = background;
    const reference::Image jpeg = Decode(Make(file, parameters));
    REQUIRE(jpeg.shape.channels == 3);
    for (uint32_t c = 0; c < 3; ++c) {
      CAPTURE(background, c);
      CHECK(std::abs(int(jpeg.samples[(5 * 16 + 2) * 3 + c]) -
                     int(background >> (16 - 8 * c) & 255)) <= 4);
    }
  }
  // Gray stays gray unless the background has a colour.
  const Bytes gray = MakePng(Photograph("camera.png", 2, 40, 40));
  ThumbnailParameters parameters = Thumbnail(16, 16);
  parameters.format = codec::ImageFormat::kJpeg;
  CHECK(Decode(Make(gray, parameters)).shape.channels == 1);
  parameters.background = 0xff0000;
  CHECK(Decode(Make(gray, parameters)).shape.channels == 3);
}

TEST_CASE("16 bits stay in a PNG") {
  reference::Image image = Photograph("camera.png", 1, 60, 60);
  image.shape.bits_per_sample = 16;
  for (auto& sample : image.samples) sample = static_cast<uint16_t>(sample * 257);
  const reference::Image out = Decode(Make(MakePng(image), Thumbnail(20, 20)));
  CHECK(out.shape.bits_per_sample == 16);
  ThumbnailParameters parameters = Thumbnail(20, 20);
  parameters.format = codec::ImageFormat::kJpeg;
  CHECK(Decode(Make(MakePng(image), parameters)).shape.bits_per_sample == 8);
}

std::vector<ThumbnailParameters> Several() {
  std::vector<ThumbnailParameters> all = {Thumbnail(300, 300), Thumbnail(256, 256, Fit::kCover),
                                          Thumbnail(40, 40), Thumbnail(33, 90, Fit::kExact),
                                          Thumbnail(41, 40)};
  all[2].format = codec::ImageFormat::kPng;
  all[3].linear_light = true;
  all[4].quality = 40;
  return all;
}

TEST_CASE("several results are those of single jobs") {
  const reference::Image image = Photograph("coffee.png", 3, 900, 700);
  for (const Bytes& file :
       {MakeJpeg(image), MakeJpeg(image, {.progressive = true}), MakePng(image)}) {
    const std::vector<Bytes> derived = Results(file, DeriveOf(Several()));
    for (size_t i = 0; i < derived.size(); ++i) {
      CAPTURE(i);
      CHECK((derived[i] == Make(file, Several()[i])));
    }
    // The equalized image, then thumbnails of it.
    const std::vector<Bytes> equalized = Results(file, DeriveOf(Several(), /*equalizes=*/true));
    REQUIRE((equalized[0] == Results(file, Operation{}).at(0)));
    for (size_t i = 0; i < Several().size(); ++i) {
      CAPTURE(i);
      CHECK((equalized[i + 1] == Make(equalized[0], Several()[i])));
    }
  }
}

TEST_CASE("the same bytes on any number of threads") {
  const reference::Image image = Photograph("coffee.png", 3, 900, 700);
  for (const Bytes& file : {MakeJpeg(image), MakePng(image)}) {
    for (const bool equalizes : {false, true}) {
      const Operation operation = DeriveOf(Several(), equalizes);
      const std::vector<Bytes> expected = Results(file, operation);
      for (const uint32_t threads : {1u, 2u, 5u}) {
        engine::ThreadExecutor executor(threads);
        // Whole, and not.
        CHECK((Results(file, operation, &executor, 64 << 20) == expected));
        CHECK((Results(file, operation, &executor, 0) == expected));
      }
    }
  }
}

TEST_CASE("a PNG is read once, and kept nowhere") {
  // Of more than what is kept without asking for room.
  reference::Image noise = Photograph("coffee.png", 3, 900, 700);
  uint32_t random = 1;
  for (auto& sample : noise.samples) sample = (random = random * 1664525 + 1013904223) >> 24;
  const Bytes file = MakePng(noise);
  REQUIRE(file.size() > 3 << 19);
  engine::InlineExecutor executor;
  engine::JobOptions options;
  options.small_image_bytes = 0;
  options.scratch_dir = "/nonexistent/folder";
  TestSource source(file);
  TestSink sink;
  const auto result = engine::RunJob(
      source, sink, DeriveOf({Thumbnail(200, 200), Thumbnail(20, 20)}), executor, options);
  INFO(result.status().ToString());
  CHECK(result.ok());
}

TEST_CASE("a cancelled thumbnail ends, and broken images make none") {
  const reference::Image image = Photograph("coffee.png", 3, 900, 700);
  engine::InlineExecutor executor;
  engine::JobOptions options;
  options.small_image_bytes = 0;
  TestSink sink;
  SECTION("cancelled while it is decoded") {
    base::CancelSource cancel;
    options.token = cancel.token();
    TestSource source(MakePng(image));
    source.At(100'000, [&] {
      cancel.Cancel(absl::CancelledError("enough"));
      return absl::OkStatus();
    });
    const auto result = engine::RunJob(source, sink, DeriveOf(Several()), executor, options);
    CHECK(result.status().code() == absl::StatusCode::kCancelled);
  }
  SECTION("cut off") {
    for (Bytes file : {MakeJpeg(image), MakePng(image)}) {
      file.resize(file.size() / 2);
      TestSource source(file);
      const auto result = engine::RunJob(source, sink, DeriveOf(Several()), executor, options);
      CHECK(base::GetErrorDetail(result.status())->reason == "IMAGE_TRUNCATED");
    }
  }
  CHECK(sink.bytes().empty());
}

TEST_CASE("thumbnails' parameters are checked") {
  const codec::ImageInfo info = {.width = 100, .height = 100, .channels = 3, .bits_per_sample = 8};
  const auto field = [&](const Operation& operation) {
    const absl::Status status = engine::CheckOperation(operation, info);
    if (status.ok()) return std::string();
    const auto detail = base::GetErrorDetail(status);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(detail->reason == "BAD_PARAMETER");
    CHECK(detail->metadata.count("limit") == 1);
    return detail->field;
  };
  const auto with = [](auto change) {
    ThumbnailParameters parameters = Thumbnail(10, 10);
    change(parameters);
    return parameters;
  };
  CHECK(field(ThumbnailOf(Thumbnail(1, 16384))).empty());
  CHECK(field(ThumbnailOf(Thumbnail(0, 10))) == "operation.thumbnail.width");
  CHECK(field(ThumbnailOf(Thumbnail(10, 16385))) == "operation.thumbnail.height");
  CHECK(field(ThumbnailOf(with([](auto& p) { p.quality = 0; }))) == "operation.thumbnail.quality");
  CHECK(field(ThumbnailOf(with([](auto& p) { p.quality = 101; }))) ==
        "operation.thumbnail.quality");
  CHECK(field(ThumbnailOf(with([](auto& p) { p.background = 0x1000000; }))) ==
        "operation.thumbnail.background");
  CHECK(field(ThumbnailOf(with([](auto& p) { p.fit = static_cast<Fit>(9); }))) ==
        "operation.thumbnail.fit");
  CHECK(field(DeriveOf({Thumbnail(9, 9), Thumbnail(0, 10)})) ==
        "operation.derive.thumbnails[1].width");
  CHECK(field(DeriveOf({Thumbnail(9, 9), Thumbnail(8, 8), Thumbnail(9, 9)})) ==
        "operation.derive.thumbnails[2]");
  CHECK(field(DeriveOf({})) == "operation.derive.thumbnails");
  std::vector<ThumbnailParameters> many;
  for (uint32_t i = 1; i <= engine::kMaxThumbnails + 1; ++i) many.push_back(Thumbnail(i, i));
  CHECK(field(DeriveOf(many)) == "operation.derive.thumbnails");
  many.pop_back();
  CHECK(field(DeriveOf(many)).empty());
  Operation equalizes = DeriveOf({Thumbnail(9, 9)}, true);
  equalizes.equalize.grid_x = 0;
  equalizes.equalize.method = Method::kClahe;
  CHECK(field(equalizes) == "operation.derive.equalize.grid_x");
}

}  // namespace
}  // namespace histeq::testing
