// OpenCV's own results, made by opencv/make_expected.cc with OpenCV 4.6.
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "histeq/equalize.h"
#include "histeq/target.h"
#include "pictures.h"

namespace histeq {
namespace {

// The result's samples, equalized in place.
template <typename Sample>
std::vector<Sample> Equalized(const EqualizeParameters& parameters, const reference::Image& image) {
  std::vector<Sample> samples(image.samples.begin(), image.samples.end());
  const Rows rows{samples.data(), static_cast<ptrdiff_t>(image.shape.width * sizeof(Sample)),
                  image.shape.height};
  const ConstRows source{rows.data, rows.stride_bytes, rows.rows};
  REQUIRE_FALSE(FindProblem(parameters, image.shape));
  Statistics statistics = Statistics::Create(parameters, image.shape);
  AccumulateRows(parameters, image.shape, source, 0, statistics);
  const Mapping mapping = ComputeMapping(parameters, image.shape, statistics);
  ApplyRows(parameters, image.shape, mapping, source, rows, 0);
  return samples;
}

std::string Sha256(const std::vector<uint8_t>& bytes) {
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest;
  SHA256(bytes.data(), bytes.size(), digest.data());
  std::string text;
  for (const uint8_t byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

TEST_CASE("Global equalization equals equalizeHist in every pixel", "[histeq]") {
  const auto digest = [](const char* name) {
    return Sha256(Equalized<uint8_t>(EqualizeParameters(), pictures::Photograph(name, 1)));
  };
  for (const char* target : SupportedTargetNames()) {
    ForceTargetForTest(target);
    CHECK(digest("moon.png") == "df31cbbe32bcf6d05f5ce6e04e4fc78ac26fc38273551aaac5d5aa6761f02c49");
    CHECK(digest("camera.png") ==
          "1c39f57d213bca79e947024f44cc0b490e8096eeb9d3a9f118d9b64f1fea78de");
  }
  ForceTargetForTest(nullptr);
}

struct Expected {
  const char* name;
  const char* source;
  uint32_t x, y, width, height;
  uint32_t bits;
  uint32_t clip_limit_q8;
  uint32_t grid_x;
  uint32_t grid_y;
};

const Expected kExpected[] = {
    {"moon_8x8", "moon.png", 0, 0, 512, 512, 8, 2 * 256, 8, 8},
    {"camera_7x5", "camera.png", 3, 5, 301, 203, 8, 4 * 256, 7, 5},
    {"camera_8x3", "camera.png", 100, 100, 160, 100, 8, 3 * 128, 8, 3},
    {"moon_thin", "moon.png", 10, 10, 5, 200, 8, 40 * 256, 8, 8},
    {"moon16_4x4", "moon.png", 64, 64, 160, 120, 16, 2 * 256, 4, 4},
    {"camera16_3x2", "camera.png", 150, 50, 121, 97, 16, 30 * 256, 3, 2},
};

template <typename Sample>
void CheckWithinOne(const EqualizeParameters& parameters, const reference::Image& image,
                    const std::vector<uint32_t>& expected) {
  const auto samples = Equalized<Sample>(parameters, image);
  REQUIRE(samples.size() == expected.size());
  size_t apart = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    const int64_t difference = int64_t{samples[i]} - int64_t{expected[i]};
    if (std::abs(difference) > 1) FAIL("sample " << i << ": " << samples[i] << ", " << expected[i]);
    apart += difference != 0;
  }
  // Sums near a half that the other arithmetic rounds the other way, no more.
  CHECK(apart * 10 <= samples.size());
}

TEST_CASE("CLAHE is within one of createCLAHE in every pixel", "[histeq]") {
  for (const Expected& expected : kExpected) {
    INFO(expected.name);
    auto image = pictures::Crop(pictures::Photograph(expected.source, 1), expected.x, expected.y,
                                expected.width, expected.height);
    if (expected.bits == 16) image = pictures::Deepened(image);
    EqualizeParameters parameters;
    parameters.method = Method::kClahe;
    parameters.clip_limit_q8 = expected.clip_limit_q8;
    parameters.grid_x = expected.grid_x;
    parameters.grid_y = expected.grid_y;
    const auto theirs =
        pictures::GrayPng(std::string(HISTEQ_OPENCV_EXPECTED) + "/" + expected.name + ".png");
    REQUIRE(theirs.shape.bits_per_sample == expected.bits);
    if (expected.bits == 8) {
      CheckWithinOne<uint8_t>(parameters, image, theirs.samples);
    } else {
      CheckWithinOne<uint16_t>(parameters, image, theirs.samples);
    }
  }
}

}  // namespace
}  // namespace histeq
