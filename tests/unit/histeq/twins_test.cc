// Every function against its slow twin, on every target.
#include <catch2/catch.hpp>
#include <cstdint>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "differential.h"
#include "histeq/target.h"
#include "pictures.h"

namespace histeq {
namespace {

using differential::Case;
using differential::Difference;

constexpr Method kMethods[] = {Method::kGlobal, Method::kClipLimited, Method::kClahe,
                               Method::kMatch, Method::kStretch};
constexpr Color kColors[] = {Color::kLuma, Color::kPerChannel, Color::kValue};

struct Pixels {
  uint32_t channels;
  bool has_alpha;
};
constexpr Pixels kPixels[] = {{1, false}, {2, true}, {3, false}, {4, true}};
constexpr Pixels kOtherPixels[] = {{2, false}, {3, true}, {4, false}};

enum class Content { kRandom, kConstant, kTwoValues, kGradient };
constexpr Content kContents[] = {Content::kRandom, Content::kConstant, Content::kTwoValues,
                                 Content::kGradient};

reference::Image Drawn(Content content, Pixels pixels, uint32_t bits, uint32_t width,
                       uint32_t height) {
  reference::Image image;
  image.shape = {width, height, pixels.channels, pixels.has_alpha, bits};
  const uint32_t largest = SampleValues(image.shape) - 1;
  std::mt19937 random(width * 131 + height * 7 + bits + pixels.channels);
  const uint32_t low = random() & largest;
  const uint32_t high = random() & largest;
  image.samples.resize(size_t{width} * height * pixels.channels);
  for (size_t i = 0; i < image.samples.size(); ++i) {
    const auto column = static_cast<uint32_t>(i / pixels.channels % width);
    switch (content) {
      case Content::kRandom:
        image.samples[i] = random() & largest;
        break;
      case Content::kConstant:
        image.samples[i] = low;
        break;
      case Content::kTwoValues:
        image.samples[i] = random() % 3 == 0 ? low : high;
        break;
      case Content::kGradient:
        image.samples[i] = static_cast<uint32_t>(uint64_t{column} * largest / width);
        break;
    }
  }
  return image;
}

// Parameters of this method that do something.
EqualizeParameters ParametersOf(Method method, Color color, const ImageShape& shape) {
  EqualizeParameters parameters;
  parameters.method = method;
  parameters.color = shape.channels - (shape.has_alpha ? 1 : 0) == 2 || ColorChannels(shape) == 4
                         ? Color::kPerChannel
                         : color;
  parameters.clip_limit_q8 = 700;
  parameters.grid_x = shape.bits_per_sample == 8 ? 5 : 2;
  parameters.grid_y = shape.bits_per_sample == 8 ? 3 : 2;
  if (method == Method::kMatch) parameters.distribution = Distribution::kUniform;
  return parameters;
}

TEST_CASE("The targets of this processor", "[histeq]") {
  std::string names;
  for (const char* name : SupportedTargetNames()) names += std::string(" ") + name;
  // To be seen in the log of the tests.
  std::cout << "targets:" << names << "\n";
  CHECK(names.find("scalar") != std::string::npos);
}

TEST_CASE("Awkward sizes and kinds of pixels equal the twins", "[histeq]") {
  const std::vector<uint32_t> widths = {0,   1,   2,   3,   7,   8,   9,   15, 16, 17,
                                        31,  32,  33,  47,  48,  49,  63,  64, 65, 127,
                                        128, 129, 191, 255, 256, 257, 511, 513};
  uint32_t turn = 0;
  for (const uint32_t bits : {8u, 16u}) {
    for (const Pixels pixels : kPixels) {
      for (const uint32_t width : widths) {
        // Methods, colours, contents, heights and layouts take turns of different length.
        for (uint32_t repetition = 0; repetition < (bits == 8 ? 4 : 2); ++repetition, ++turn) {
          Case c;
          c.image = Drawn(kContents[turn % 4], pixels, bits, width, turn / 5 % 4);
          c.parameters = ParametersOf(kMethods[turn % 5], kColors[turn / 2 % 3], c.image.shape);
          c.layout = {turn % 7, turn % 65, turn % 3 == 1, turn % 2 == 1};
          c.cuts = {1, turn % 4};
          REQUIRE(Difference(c) == "");
        }
      }
    }
  }
}

TEST_CASE("Every method and colour with other channels equals the twins", "[histeq]") {
  for (const uint32_t bits : {8u, 16u}) {
    for (const Pixels pixels : kOtherPixels) {
      for (const Method method : kMethods) {
        Case c;
        c.image = Drawn(Content::kRandom, pixels, bits, 143, 5);
        c.parameters = ParametersOf(method, Color::kPerChannel, c.image.shape);
        c.cuts = {2};
        REQUIRE(Difference(c) == "");
      }
    }
  }
}

TEST_CASE("Rows longer than the pieces they are worked in equal the twins", "[histeq]") {
  for (const Pixels pixels : kPixels) {
    for (const uint32_t width : {2047u, 2048u, 2049u, 4097u, 9001u}) {
      for (const Method method : {Method::kGlobal, Method::kClahe}) {
        Case c;
        c.image = Drawn(Content::kRandom, pixels, 8, width, 3);
        c.parameters = ParametersOf(method, Color::kLuma, c.image.shape);
        REQUIRE(Difference(c) == "");
      }
    }
  }
}

TEST_CASE("Enough samples for counters of their own equal the twins", "[histeq]") {
  for (const uint32_t bits : {8u, 16u}) {
    for (const Content content : {Content::kConstant, Content::kRandom, Content::kTwoValues}) {
      Case c;
      c.image = Drawn(content, {1, false}, bits, 1031, 520);
      c.parameters.has_nodata = content == Content::kRandom;
      c.parameters.nodata = 77;
      c.cuts = {511};
      REQUIRE(Difference(c) == "");
    }
  }
}

TEST_CASE("Pictures large enough for CLAHE's tables beside each other equal the twins",
          "[histeq]") {
  const struct {
    uint32_t width;
    uint32_t height;
    uint32_t bits;
    uint32_t grid_x;
    uint32_t grid_y;
  } pictures[] = {{257, 129, 8, 2, 3}, {301, 120, 8, 7, 1}, {1031, 1021, 16, 1, 1}};
  for (const auto& picture : pictures) {
    for (const Pixels pixels : kPixels) {
      if (picture.bits == 16 && pixels.channels != 1) continue;
      for (const Content content : {Content::kRandom, Content::kGradient}) {
        Case c;
        c.image = Drawn(content, pixels, picture.bits, picture.width, picture.height);
        c.parameters = ParametersOf(Method::kClahe, Color::kPerChannel, c.image.shape);
        c.parameters.grid_x = picture.grid_x;
        c.parameters.grid_y = picture.grid_y;
        c.layout.gap = 5;
        c.cuts = {61};
        REQUIRE(Difference(c) == "");
      }
    }
  }
}

TEST_CASE("Any parameters equal the twins", "[histeq]") {
  std::mt19937 random(20261124);
  for (int i = 0; i < 500; ++i) {
    std::vector<uint8_t> bytes(80 + random() % 40);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    REQUIRE(Difference(differential::CaseOf(bytes)) == "");
  }
}

TEST_CASE("Grids finer than the picture equal the twins", "[histeq]") {
  const uint32_t sizes[][2] = {{1, 1}, {1, 9}, {2, 2}, {7, 1}, {3, 200}, {300, 2}, {257, 255}};
  for (const auto& size : sizes) {
    for (const uint32_t grid : {1u, 2u, 8u, 256u}) {
      Case c;
      c.image = Drawn(Content::kRandom, {1, false}, 8, size[0], size[1]);
      c.parameters.method = Method::kClahe;
      c.parameters.grid_x = grid;
      c.parameters.grid_y = std::min(grid, 16u);
      c.cuts = {1, 100};
      REQUIRE(Difference(c) == "");
    }
  }
}

TEST_CASE("Photographs equal the twins with every method and colour", "[histeq]") {
  const struct {
    const char* name;
    uint32_t channels;
  } photographs[] = {{"moon.png", 1}, {"coffee.png", 3}, {"rocket.jpg", 3}};
  for (const auto& photograph : photographs) {
    const auto whole = pictures::Photograph(photograph.name, photograph.channels);
    auto image = pictures::Crop(whole, 31, 57, 157, 83);
    for (uint32_t variant = 0; variant < 4; ++variant) {
      auto changed = variant % 2 == 0 ? image : pictures::Deepened(image);
      if (variant >= 2) changed = pictures::WithAlpha(changed);
      for (const Method method : kMethods) {
        for (const Color color : kColors) {
          if (photograph.channels == 1 && color != Color::kLuma) continue;
          Case c;
          c.image = changed;
          c.parameters = ParametersOf(method, color, c.image.shape);
          if (variant == 1) c.parameters.significant_bits = 15;
          if (variant == 2) c.parameters.strength_q16 = 40000;
          if (variant == 3) c.parameters.has_nodata = true;
          c.cuts = {13, 64};
          REQUIRE(Difference(c) == "");
        }
      }
    }
  }
}

TEST_CASE("Matching to a picture's histogram and to each distribution equals the twins",
          "[histeq]") {
  for (const uint32_t bits : {8u, 12u, 16u}) {
    for (uint32_t target = 0; target <= 3; ++target) {
      Case c;
      c.image = pictures::Crop(pictures::Photograph("camera.png", 1), 100, 100, 120, 90);
      if (bits > 8) c.image = pictures::Deepened(c.image);
      if (bits == 12) {
        for (uint32_t& sample : c.image.samples) sample >>= 4;
        c.parameters.significant_bits = 12;
      }
      c.parameters.method = Method::kMatch;
      c.parameters.distribution = static_cast<Distribution>(target);
      if (target == 0) {
        c.parameters.reference.resize(SampleValues(c.image.shape));
        for (const uint32_t sample : pictures::Photograph("moon.png", 1).samples) {
          ++c.parameters.reference[sample << (bits - 8)];
        }
      }
      REQUIRE(Difference(c) == "");
    }
  }
}

}  // namespace
}  // namespace histeq
