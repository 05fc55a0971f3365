// What users rely on, said without a twin.
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "histeq/equalize.h"
#include "histeq/target.h"
#include "histeq_planes.h"
#include "pictures.h"

namespace histeq {
namespace {

std::vector<uint8_t> Bytes(const reference::Image& image) {
  return {image.samples.begin(), image.samples.end()};
}

ConstRows RowsOf(const std::vector<uint8_t>& bytes, const ImageShape& shape) {
  return {bytes.data(), static_cast<ptrdiff_t>(shape.width) * shape.channels, shape.height};
}

std::vector<uint8_t> Equalized(const EqualizeParameters& parameters, const ImageShape& shape,
                               const std::vector<uint8_t>& bytes) {
  Statistics statistics = Statistics::Create(parameters, shape);
  AccumulateRows(parameters, shape, RowsOf(bytes, shape), 0, statistics);
  const Mapping mapping = ComputeMapping(parameters, shape, statistics);
  std::vector<uint8_t> result(bytes.size());
  ApplyRows(parameters, shape, mapping, RowsOf(bytes, shape),
            {result.data(), static_cast<ptrdiff_t>(shape.width) * shape.channels, shape.height}, 0);
  return result;
}

TEST_CASE("Luma is BT.601 to within one half and the rounding of its weights", "[histeq]") {
  for (uint32_t red = 0; red <= 65535; red += 4369) {
    for (uint32_t green = 0; green <= 65535; green += 4369) {
      for (uint32_t blue = 0; blue <= 65535; blue += 4369) {
        const double exact = 0.299 * red + 0.587 * green + 0.114 * blue;
        CHECK(std::abs(reference::Luma(red, green, blue) - exact) <= 0.5 + 65535 * 1.7 / 32768);
      }
    }
  }
}

TEST_CASE("A picture of one value is left as it is", "[histeq]") {
  for (const Method method :
       {Method::kGlobal, Method::kClipLimited, Method::kMatch, Method::kStretch}) {
    for (const Color color : {Color::kLuma, Color::kPerChannel, Color::kValue}) {
      EqualizeParameters parameters;
      parameters.method = method;
      parameters.color = color;
      if (method == Method::kMatch) parameters.distribution = Distribution::kGaussian;
      const ImageShape shape{.width = 33, .height = 9, .channels = 3};
      std::vector<uint8_t> bytes;
      for (uint32_t i = 0; i < 33 * 9; ++i) bytes.insert(bytes.end(), {200, 100, 7});
      CHECK(Equalized(parameters, shape, bytes) == bytes);
    }
  }
}

TEST_CASE("Strength 0 changes nothing, and values between lie between", "[histeq]") {
  const auto moon = pictures::Photograph("moon.png", 1);
  const auto bytes = Bytes(moon);
  EqualizeParameters parameters;
  const auto full = Equalized(parameters, moon.shape, bytes);
  parameters.strength_q16 = 0;
  CHECK(Equalized(parameters, moon.shape, bytes) == bytes);
  parameters.strength_q16 = 32768;
  const auto half = Equalized(parameters, moon.shape, bytes);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (half[i] != (bytes[i] + full[i] + 1) / 2) FAIL("sample " << i);
  }
}

TEST_CASE("Alpha never changes, and transparent pixels have no say", "[histeq]") {
  auto image =
      pictures::WithAlpha(pictures::Crop(pictures::Photograph("chelsea.png", 3), 0, 0, 200, 100));
  const auto bytes = Bytes(image);
  // The same with other colours where nothing is seen.
  auto other = bytes;
  for (size_t i = 0; i < other.size(); i += 4) {
    if (other[i + 3] == 0) other[i] = other[i + 1] = other[i + 2] = static_cast<uint8_t>(i);
  }
  REQUIRE(other != bytes);
  for (const Method method : {Method::kGlobal, Method::kClahe}) {
    for (const Color color : {Color::kLuma, Color::kPerChannel, Color::kValue}) {
      EqualizeParameters parameters;
      parameters.method = method;
      parameters.color = color;
      const auto result = Equalized(parameters, image.shape, bytes);
      const auto other_result = Equalized(parameters, image.shape, other);
      for (size_t i = 0; i < bytes.size(); i += 4) {
        if (result[i + 3] != bytes[i + 3]) FAIL("alpha of pixel " << i / 4);
        if (bytes[i + 3] != 0 && !std::equal(&result[i], &result[i] + 4, &other_result[i])) {
          FAIL("pixel " << i / 4);
        }
      }
    }
  }
}

TEST_CASE("Value keeps the ratios of the colours; the largest becomes what the table says",
          "[histeq]") {
  const auto image = pictures::Photograph("coffee.png", 3);
  const auto bytes = Bytes(image);
  EqualizeParameters parameters;
  parameters.color = Color::kValue;
  Statistics statistics = Statistics::Create(parameters, image.shape);
  AccumulateRows(parameters, image.shape, RowsOf(bytes, image.shape), 0, statistics);
  const Mapping mapping = ComputeMapping(parameters, image.shape, statistics);
  const auto result = Equalized(parameters, image.shape, bytes);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const uint8_t value = std::max({bytes[i], bytes[i + 1], bytes[i + 2]});
    const uint8_t mapped = std::max({result[i], result[i + 1], result[i + 2]});
    if (mapped != mapping.data()[value]) FAIL("pixel " << i / 3);
    for (size_t channel = 0; channel < 3 && value > 0; ++channel) {
      const double exact = double{static_cast<double>(bytes[i + channel])} * mapped / value;
      if (std::abs(result[i + channel] - exact) > 0.51) FAIL("pixel " << i / 3);
    }
  }
}

TEST_CASE("Luma moves the colours of a pixel by one amount, but for clamping", "[histeq]") {
  const auto image = pictures::Photograph("rocket.jpg", 3);
  const auto bytes = Bytes(image);
  const auto result = Equalized(EqualizeParameters(), image.shape, bytes);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    std::array<int, 3> moved;
    int clamped = 0;
    for (size_t channel = 0; channel < 3; ++channel) {
      moved[channel] = result[i + channel] - bytes[i + channel];
      clamped += result[i + channel] == 0 || result[i + channel] == 255;
    }
    if (clamped == 0 && (moved[0] != moved[1] || moved[1] != moved[2])) FAIL("pixel " << i / 3);
  }
}

TEST_CASE("Nodata is neither counted nor changed", "[histeq]") {
  const auto moon = pictures::Photograph("moon.png", 1);
  auto bytes = Bytes(moon);
  for (size_t i = 0; i < bytes.size(); i += 3) bytes[i] = 0;
  EqualizeParameters parameters;
  parameters.has_nodata = true;
  const auto result = Equalized(parameters, moon.shape, bytes);
  Statistics statistics = Statistics::Create(parameters, moon.shape);
  AccumulateRows(parameters, moon.shape, RowsOf(bytes, moon.shape), 0, statistics);
  CHECK(statistics.words()[0] == 0);
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == 0 && result[i] != 0) FAIL("sample " << i);
  }
}

TEST_CASE("An equalized picture has a flatter histogram", "[histeq]") {
  const auto moon = pictures::Photograph("moon.png", 1);
  const auto bytes = Bytes(moon);
  const auto result = Equalized(EqualizeParameters(), moon.shape, bytes);
  const auto summary = [&](const std::vector<uint8_t>& samples) {
    Statistics statistics = Statistics::Create(EqualizeParameters(), moon.shape);
    AccumulateRows(EqualizeParameters(), moon.shape, RowsOf(samples, moon.shape), 0, statistics);
    return SummaryOf(statistics.words());
  };
  CHECK(summary(result).mean == Approx(127.5).margin(8));
  CHECK(summary(result).standard_deviation == Approx(255 / std::sqrt(12.0)).margin(4));
  CHECK(summary(bytes).standard_deviation < 30);
}

TEST_CASE("Any bytes are safe as a mapping", "[histeq]") {
  const auto image =
      pictures::WithAlpha(pictures::Crop(pictures::Photograph("coffee.png", 3), 0, 0, 130, 40));
  const auto bytes = Bytes(image);
  for (const Color color : {Color::kLuma, Color::kPerChannel, Color::kValue}) {
    for (const Method method : {Method::kGlobal, Method::kClahe}) {
      EqualizeParameters parameters;
      parameters.color = color;
      parameters.method = method;
      parameters.significant_bits = 5;
      std::vector<uint8_t> tables(Mapping::BytesFor(parameters, image.shape));
      for (size_t i = 0; i < tables.size(); ++i) tables[i] = static_cast<uint8_t>(i * 151 + 255);
      const auto mapping = Mapping::FromBytes(parameters, image.shape, tables);
      REQUIRE(mapping);
      std::vector<uint8_t> first;
      for (const char* target : SupportedTargetNames()) {
        ForceTargetForTest(target);
        std::vector<uint8_t> result(bytes.size());
        ApplyRows(parameters, image.shape, *mapping, RowsOf(bytes, image.shape),
                  {result.data(), ptrdiff_t{130 * 4}, 40}, 0);
        if (first.empty()) first = result;
        CHECK(result == first);
      }
      ForceTargetForTest(nullptr);
    }
  }
}

TEST_CASE("Targets can be named and forced", "[histeq]") {
  const std::string best = ActiveTargetName();
  const auto names = SupportedTargetNames();
  REQUIRE_FALSE(names.empty());
  CHECK(best == names.front());
  for (const char* name : names) {
    REQUIRE(ForceTargetForTest(name));
    CHECK(std::string(ActiveTargetName()) == name);
  }
  CHECK_FALSE(ForceTargetForTest("mmx"));
  CHECK(ForceTargetForTest(nullptr));
  CHECK(ActiveTargetName() == best);
}

}  // namespace
}  // namespace histeq
