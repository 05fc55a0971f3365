// Against the twin: all kinds of samples, up and down, crops, and sizes at which filters are wider
// than pictures.

#include "resize/resampler.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "resample.h"
#include "run.h"

namespace histeq::resize {
namespace {

std::vector<uint16_t> Twin(const ResampleSpec& spec, const std::vector<uint16_t>& samples) {
  return reference::Resample({.source_width = spec.source_width,
                              .source_height = spec.source_height,
                              .channels = spec.channels,
                              .has_alpha = spec.has_alpha,
                              .bits_per_sample = spec.bits_per_sample,
                              .left = spec.region.left,
                              .top = spec.region.top,
                              .region_width = spec.region.width,
                              .region_height = spec.region.height,
                              .width = spec.width,
                              .height = spec.height,
                              .linear_light = spec.linear_light},
                             samples);
}

ResampleSpec Spec(uint32_t source_width, uint32_t source_height, uint32_t width, uint32_t height) {
  return {.source_width = source_width,
          .source_height = source_height,
          .region = {0, 0, double(source_width), double(source_height)},
          .width = width,
          .height = height};
}

// Greatest difference of samples; colours are weighted with their alpha, since nobody sees those
// that are transparent.
double Difference(const ResampleSpec& spec, const std::vector<uint16_t>& a,
                  const std::vector<uint16_t>& b) {
  REQUIRE(a.size() == b.size());
  const double greatest = spec.bits_per_sample == 16 ? 65535 : 255;
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    double weight = 1;
    if (spec.has_alpha && i % spec.channels != spec.channels - 1)
      weight = b[i / spec.channels * spec.channels + spec.channels - 1] / greatest;
    most = std::max(most, std::abs(double(a[i]) - double(b[i])) * weight);
  }
  return most;
}

TEST_CASE("resampled pictures are those of the twin") {
  const uint32_t sizes[][4] = {{64, 48, 32, 24},  {100, 70, 33, 41}, {37, 53, 90, 61},
                               {200, 9, 20, 9},   {9, 200, 9, 20},   {40, 40, 40, 13},
                               {33, 20, 100, 10}, {300, 200, 4, 3}};
  for (const auto& size : sizes) {
    for (const uint32_t channels : {1u, 2u, 3u, 4u}) {
      for (const Pattern pattern : {Pattern::kSmooth, Pattern::kNoise, Pattern::kBlackAndWhite}) {
        ResampleSpec spec = Spec(size[0], size[1], size[2], size[3]);
        spec.channels = channels;
        spec.has_alpha = channels % 2 == 0;
        const auto samples = MakePattern(spec, pattern);
        CAPTURE(size[0], size[1], size[2], size[3], channels, int(pattern));
        CHECK(Difference(spec, Run(spec, samples), Twin(spec, samples)) <= 1);
      }
    }
  }
}

TEST_CASE("16-bit pictures are those of the twin, to a part of an 8-bit step") {
  const uint32_t sizes[][4] = {{64, 48, 32, 24}, {37, 53, 90, 61}, {200, 100, 20, 9}};
  for (const auto& size : sizes) {
    for (const uint32_t channels : {1u, 2u, 3u, 4u}) {
      ResampleSpec spec = Spec(size[0], size[1], size[2], size[3]);
      spec.channels = channels;
      spec.has_alpha = channels % 2 == 0;
      spec.bits_per_sample = 16;
      CAPTURE(size[0], size[1], size[2], size[3], channels);
      const auto smooth = MakePattern(spec, Pattern::kSmooth);
      CHECK(Difference(spec, Run(spec, smooth), Twin(spec, smooth)) <= 8);
      // Levels beyond white and black are cut off between the two directions: a little, where noise
      // is at its strongest.
      auto noise = MakePattern(spec, Pattern::kNoise);
      for (uint16_t& sample : noise) sample = static_cast<uint16_t>(16384 + sample / 2);
      CHECK(Difference(spec, Run(spec, noise), Twin(spec, noise)) <= 40);
    }
  }
}

TEST_CASE("light is averaged when asked for") {
  for (const uint32_t bits : {8u, 16u}) {
    for (const uint32_t channels : {1u, 2u, 3u, 4u}) {
      ResampleSpec spec = Spec(90, 70, 31, 20);
      spec.channels = channels;
      spec.has_alpha = channels % 2 == 0;
      spec.bits_per_sample = bits;
      spec.linear_light = true;
      CAPTURE(bits, channels);
      const auto smooth = MakePattern(spec, Pattern::kSmooth);
      CHECK(Difference(spec, Run(spec, smooth), Twin(spec, smooth)) <= (bits == 8 ? 1 : 24));
    }
  }
  // A chessboard of black and white is half of white's light.
  ResampleSpec spec = Spec(64, 64, 8, 8);
  spec.linear_light = true;
  std::vector<uint16_t> board(64 * 64);
  for (size_t i = 0; i < board.size(); ++i) board[i] = (i % 64 + i / 64) % 2 == 0 ? 255 : 0;
  for (const uint16_t sample : Run(spec, board)) CHECK(std::abs(int(sample) - 188) <= 1);
}

TEST_CASE("a part of a picture is resampled with what lies around it") {
  const Region regions[] = {{0, 10, 100, 50},
                            {12.5, 0, 61.25, 80},
                            {30.25, 20.75, 9.5, 8.25},
                            {0, 0, 2.5, 80},
                            {97, 79, 3, 1}};
  for (const Region& region : regions) {
    for (const uint32_t target : {1u, 3u, 20u, 130u}) {
      ResampleSpec spec = Spec(100, 80, target, target);
      spec.region = region;
      CAPTURE(region.left, region.top, region.width, region.height, target);
      const auto samples = MakePattern(spec, Pattern::kNoise);
      CHECK(Difference(spec, Run(spec, samples), Twin(spec, samples)) <= 1);
    }
  }
}

TEST_CASE("wider and lower, of all kinds of samples") {
  for (const uint32_t bits : {8u, 16u}) {
    for (const uint32_t channels : {1u, 2u, 3u, 4u}) {
      for (const bool light : {false, true}) {
        ResampleSpec spec = Spec(20, 90, 50, 31);
        spec.region = {2.5, 10, 13.25, 70.5};
        spec.channels = channels;
        spec.has_alpha = channels % 2 == 0;
        spec.bits_per_sample = bits;
        spec.linear_light = light;
        CAPTURE(bits, channels, light);
        const auto smooth = MakePattern(spec, Pattern::kSmooth);
        CHECK(Difference(spec, Run(spec, smooth), Twin(spec, smooth)) <= (bits == 8 ? 1 : 24));
      }
    }
  }
}

TEST_CASE("a low part of a high picture") {
  for (const double top : {0.0, 0.5, 3.0, 250.25, 995.0, 997.5}) {
    for (const double height : {0.25, 1.0, 2.5}) {
      for (const uint32_t target : {1u, 2u, 9u, 50u}) {
        ResampleSpec spec = Spec(12, 1000, 7, target);
        spec.region = {0, top, 12, height};
        CAPTURE(top, height, target);
        const auto samples = MakePattern(spec, Pattern::kNoise);
        CHECK(Difference(spec, Run(spec, samples), Twin(spec, samples)) <= 1);
      }
    }
  }
}

TEST_CASE("memory is bounded by the source and the result") {
  struct Case {
    uint32_t source_width, source_height, width, height;
    Region region;
    uint64_t most_bytes;
  };
  const Case cases[] = {
      // Three planes of 16 bits, and five rows of one that is enlarged.
      {1, 1, 4096, 4096, {0, 0, 1, 1}, 6ull * 4096 * (4096 + 32)},
      {5, 3, 2000, 16384, {0, 0, 5, 3}, 6ull * 2048 * (16384 + 32)},
      // Rows are aligned to 64 bytes.
      {1, 200'000, 16384, 16384, {0, 0, 1, 2e5}, 192ull * 216'400 + 6ull * 16384 * 16400},
      {1, 5'000, 16384, 1, {0, 0, 1, 5e3}, 192ull * 25'100 + 6ull * 16384 * 16},
      // As many rows as its filter reaches, five times.
      {1000, 1'000'000, 1000, 1, {0, 5e5, 1000, 1}, 6ull * 1024 * 5 * 16},
  };
  for (const Case& c : cases) {
    ResampleSpec spec = Spec(c.source_width, c.source_height, c.width, c.height);
    spec.region = c.region;
    spec.channels = 3;
    CAPTURE(c.source_width, c.source_height, c.width, c.height);
    auto made = Resampler::Create(spec);
    REQUIRE(made.ok());
    CHECK((*made)->work_bytes() <= c.most_bytes);
  }
}

TEST_CASE("filters wider than the picture") {
  for (const uint32_t source : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 12u, 50u}) {
    for (const uint32_t target : {1u, 2u, 3u, 4u, 5u, 7u, 13u, 40u}) {
      CAPTURE(source, target);
      ResampleSpec wide = Spec(source, 5, target, 5);
      auto samples = MakePattern(wide, Pattern::kNoise);
      CHECK(Difference(wide, Run(wide, samples), Twin(wide, samples)) <= 1);
      ResampleSpec high = Spec(5, source, 5, target);
      samples = MakePattern(high, Pattern::kNoise);
      CHECK(Difference(high, Run(high, samples), Twin(high, samples)) <= 1);
      ResampleSpec both = Spec(source, source, target, target);
      samples = MakePattern(both, Pattern::kNoise);
      CHECK(Difference(both, Run(both, samples), Twin(both, samples)) <= 1);
    }
  }
}

TEST_CASE("extreme ratios") {
  const uint32_t sizes[][4] = {
      {10000, 1, 256, 1}, {10000, 1, 1, 1},     {1, 10000, 1, 256}, {10000, 40, 256, 1},
      {1, 1, 300, 200},   {1, 70, 256, 256},    {20000, 3, 5, 2},   {3, 20000, 1, 7},
      {3, 20000, 90, 70}, {20000, 3, 70, 90},   {2, 500, 300, 2},   {100'000, 2, 1, 1},
      {2, 100'000, 3, 1}, {200'000, 1, 100, 1}, {1031, 2067, 2, 4}, {3, 20'001, 40, 3}};
  for (const auto& size : sizes) {
    for (const Pattern pattern : {Pattern::kSmooth, Pattern::kNoise, Pattern::kBlackAndWhite}) {
      const ResampleSpec spec = Spec(size[0], size[1], size[2], size[3]);
      const auto samples = MakePattern(spec, pattern);
      CAPTURE(size[0], size[1], size[2], size[3], int(pattern));
      CHECK(Difference(spec, Run(spec, samples), Twin(spec, samples)) <= 2);
    }
  }
}

TEST_CASE("reductions by many hundreds, of all kinds of samples and of parts") {
  for (const uint32_t bits : {8u, 16u}) {
    for (const uint32_t channels : {1u, 2u, 3u, 4u}) {
      for (const bool light : {false, true}) {
        ResampleSpec spec = Spec(1103, 601, 1, 1);
        spec.region = {41.25, 3, 1042.5, 597.75};
        spec.channels = channels;
        spec.has_alpha = channels % 2 == 0;
        spec.bits_per_sample = bits;
        spec.linear_light = light;
        CAPTURE(bits, channels, light);
        for (const Pattern pattern : {Pattern::kSmooth, Pattern::kNoise}) {
          const auto samples = MakePattern(spec, pattern);
          CHECK(Difference(spec, Run(spec, samples), Twin(spec, samples)) <= (bits == 8 ? 1 : 40));
        }
      }
    }
  }
}

TEST_CASE("what is of one colour stays so, and pictures of their own size stay as they are") {
  for (const uint32_t bits : {8u, 16u}) {
    for (const uint32_t value : {0u, 1u, 77u, 254u, 255u, 40000u, 65535u}) {
      if (bits == 8 && value > 255) continue;
      ResampleSpec spec = Spec(50, 40, 21, 70);
      spec.bits_per_sample = bits;
      for (const uint16_t sample :
           Run(spec, std::vector<uint16_t>(50 * 40, static_cast<uint16_t>(value))))
        REQUIRE(sample == value);
    }
    ResampleSpec same = Spec(13, 9, 13, 9);
    same.channels = 4;
    same.has_alpha = true;
    same.bits_per_sample = bits;
    const auto samples = MakePattern(same, Pattern::kNoise);
    CHECK(Run(same, samples) == samples);
  }
}

TEST_CASE("the colour of transparent pixels does not bleed") {
  // Red where it is opaque, green where nobody sees it.
  ResampleSpec spec = Spec(64, 64, 20, 20);
  spec.channels = 4;
  spec.has_alpha = true;
  std::vector<uint16_t> samples;
  for (int i = 0; i < 64 * 64; ++i) {
    const bool opaque = (i % 64) / 8 % 2 == 0;
    for (const int v : {opaque ? 255 : 0, opaque ? 0 : 255, 0, opaque ? 255 : 0})
      samples.push_back(static_cast<uint16_t>(v));
  }
  const auto out = Run(spec, samples);
  for (size_t i = 0; i < out.size(); i += 4) {
    if (out[i + 3] == 0) continue;
    CHECK(out[i] >= 254);
    CHECK(out[i + 1] == 0);
  }
}

TEST_CASE("how rows are pushed does not matter") {
  ResampleSpec spec = Spec(70, 95, 30, 17);
  spec.channels = 3;
  const auto samples = MakePattern(spec, Pattern::kNoise);
  const auto expected = Run(spec, samples, 95);
  for (const uint32_t step : {1u, 15u, 16u, 17u, 64u}) CHECK(Run(spec, samples, step) == expected);
}

TEST_CASE("checks and sinks end the work") {
  const ResampleSpec spec = Spec(64, 64, 30, 30);
  auto made = Resampler::Create(spec);
  REQUIRE(made.ok());
  alignas(kWorkAlignment) static uint8_t work[1 << 16];
  REQUIRE((*made)->work_bytes() <= sizeof(work));
  const std::vector<uint8_t> rows(64 * 64);
  SECTION("check") {
    (*made)->Start(work, [](uint32_t, std::span<const uint8_t>) { return absl::OkStatus(); });
    REQUIRE((*made)->Push(rows, 64).ok());
    int asked = 0;
    const auto status = (*made)->Finish(
        [&] { return ++asked < 2 ? absl::OkStatus() : absl::CancelledError("enough"); });
    CHECK(status.code() == absl::StatusCode::kCancelled);
    CHECK(asked == 2);
  }
  SECTION("sink") {
    (*made)->Start(work, [](uint32_t row, std::span<const uint8_t>) {
      return row < 5 ? absl::OkStatus() : absl::UnavailableError("full");
    });
    REQUIRE((*made)->Push(rows, 64).ok());
    CHECK((*made)->Finish([] { return absl::OkStatus(); }).code() ==
          absl::StatusCode::kUnavailable);
  }
}

TEST_CASE("specs that do not hold together are refused") {
  ResampleSpec spec = Spec(10, 10, 5, 5);
  SECTION("nothing") { spec.width = 0; }
  SECTION("beyond the source") { spec.region.width = 11; }
  SECTION("not a number") { spec.region.left = std::nan(""); }
  SECTION("empty part") { spec.region.height = 0; }
  SECTION("channels") { spec.channels = 5; }
  SECTION("bits") { spec.bits_per_sample = 12; }
  SECTION("too wide") { spec.source_width = kMaxDimension + 1; }
  CHECK(Resampler::Create(spec).status().code() == absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace histeq::resize
