#include "histeq/parameters.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace histeq {
namespace {

// The field and the allowed values of the problem; empty without one.
std::string ProblemOf(const std::function<void(EqualizeParameters&, ImageShape&)>& change) {
  EqualizeParameters parameters;
  ImageShape shape{.width = 10, .height = 10, .channels = 3};
  change(parameters, shape);
  const auto problem = FindProblem(parameters, shape);
  return problem ? std::string(problem->field) + ": " + problem->allowed : std::string();
}

using P = EqualizeParameters;
using S = ImageShape;

TEST_CASE("The defaults are usable", "[histeq]") {
  CHECK(ProblemOf([](P&, S&) {}).empty());
  CHECK(ProblemOf([](P&, S& s) { s.width = s.height = 0; }).empty());
}

TEST_CASE("A wrong shape is named", "[histeq]") {
  CHECK(ProblemOf([](P&, S& s) { s.bits_per_sample = 12; }) == "bits_per_sample: 8 or 16");
  CHECK(ProblemOf([](P&, S& s) { s.channels = 0; }) == "channels: 1 to 4");
  CHECK(ProblemOf([](P&, S& s) { s.channels = 5; }) == "channels: 1 to 4");
  CHECK(ProblemOf([](P&, S& s) { s = {1, 1, 1, true, 8}; }) == "channels: 2 or 4 with alpha");
  CHECK(ProblemOf([](P&, S& s) { s.width = 1u << 31; }) == "width: 0 to 2147483647");
  CHECK(ProblemOf([](P&, S& s) { s.height = 1u << 31; }) == "height: 0 to 2147483647");
}

TEST_CASE("Channels without luma go with per-channel only", "[histeq]") {
  for (const uint32_t channels : {2u, 4u}) {
    for (const Color color : {Color::kLuma, Color::kValue}) {
      CHECK(ProblemOf([&](P& p, S& s) {
              s.channels = channels;
              p.color = color;
            }) == "color: per-channel for pictures of 2 or 4 colour channels");
    }
    CHECK(ProblemOf([&](P& p, S& s) {
            s.channels = channels;
            p.color = Color::kPerChannel;
          }).empty());
  }
}

TEST_CASE("An unknown method or colour is named", "[histeq]") {
  for (const uint32_t number : {0u, 6u}) {
    CHECK(ProblemOf([&](P& p, S&) { p.method = static_cast<Method>(number); }) ==
          "method: global, clip-limited, clahe, match or stretch");
  }
  for (const uint32_t number : {0u, 4u}) {
    CHECK(ProblemOf([&](P& p, S&) { p.color = static_cast<Color>(number); }) ==
          "color: luma, per-channel or value");
  }
}

TEST_CASE("A strength above 1 is named", "[histeq]") {
  CHECK(ProblemOf([](P& p, S&) { p.strength_q16 = 65537; }) == "strength: 0 to 1");
  CHECK(ProblemOf([](P& p, S&) { p.strength_q16 = 0; }).empty());
}

TEST_CASE("Nodata and significant bits fit the depth", "[histeq]") {
  const auto with = [](uint32_t bits, uint32_t nodata, uint32_t significant) {
    return ProblemOf([=](P& p, S& s) {
      s.bits_per_sample = bits;
      p.has_nodata = true;
      p.nodata = nodata;
      p.significant_bits = significant;
    });
  };
  CHECK(with(8, 255, 8).empty());
  CHECK(with(8, 256, 0) == "nodata: 0 to 255");
  CHECK(with(16, 65535, 12).empty());
  CHECK(with(16, 65536, 0) == "nodata: 0 to 65535");
  CHECK(with(8, 0, 9) == "significant_bits: 1 to 8");
  CHECK(with(16, 0, 17) == "significant_bits: 1 to 16");
}

TEST_CASE("Clip limit and grid have ranges where they are used", "[histeq]") {
  for (const Method method : {Method::kClipLimited, Method::kClahe}) {
    for (const uint32_t clip : {0u, 255u, 256'000'001u}) {
      CHECK(ProblemOf([&](P& p, S&) {
              p.method = method;
              p.clip_limit_q8 = clip;
            }) == "clip_limit: 1 to 1000000");
    }
  }
  CHECK(ProblemOf([](P& p, S&) { p.clip_limit_q8 = 0; }).empty());
  for (const uint32_t tiles : {0u, 257u}) {
    CHECK(ProblemOf([&](P& p, S&) {
            p.method = Method::kClahe;
            p.grid_x = tiles;
          }) == "grid_x: 1 to 256");
    CHECK(ProblemOf([&](P& p, S&) {
            p.method = Method::kClahe;
            p.grid_y = tiles;
          }) == "grid_y: 1 to 256");
    CHECK(ProblemOf([&](P& p, S&) { p.grid_x = tiles; }).empty());
  }
}

TEST_CASE("Matching wants one target of the right depth", "[histeq]") {
  const auto with = [](Distribution distribution, std::vector<uint64_t> reference,
                       uint32_t bits = 8) {
    return ProblemOf([&](P& p, S& s) {
      s.bits_per_sample = bits;
      p.method = Method::kMatch;
      p.distribution = distribution;
      p.reference = std::move(reference);
    });
  };
  const std::string both =
      "reference: exactly one of a reference histogram and a target distribution";
  const std::string wrong = "reference: 256 counts, some above 0, with a sum below 2^63";
  CHECK(with(Distribution::kUniform, {}).empty());
  CHECK(with(Distribution::kNone, std::vector<uint64_t>(256, 1)).empty());
  CHECK(with(Distribution::kNone, {}) == both);
  CHECK(with(Distribution::kGaussian, std::vector<uint64_t>(256, 1)) == both);
  CHECK(with(static_cast<Distribution>(4), {}) ==
        "target_distribution: uniform, gaussian or rayleigh");
  CHECK(with(Distribution::kNone, std::vector<uint64_t>(255, 1)) == wrong);
  CHECK(with(Distribution::kNone, std::vector<uint64_t>(256)) == wrong);
  CHECK(with(Distribution::kNone, std::vector<uint64_t>(256, uint64_t{1} << 55)) == wrong);
  CHECK(with(Distribution::kNone, std::vector<uint64_t>(256, uint64_t{1} << 63)) == wrong);
  CHECK(with(Distribution::kNone, std::vector<uint64_t>(256, 1), 16) ==
        "reference: 65536 counts, some above 0, with a sum below 2^63");
}

TEST_CASE("Percentiles are in order", "[histeq]") {
  const auto with = [](uint32_t low, uint32_t high) {
    return ProblemOf([=](P& p, S&) {
      p.method = Method::kStretch;
      p.percentile_low_q4 = low;
      p.percentile_high_q4 = high;
    });
  };
  CHECK(with(0, 1'000'000).empty());
  CHECK(with(0, 1'000'001) == "percentile_high: 0 to 100");
  CHECK(with(500'000, 500'000) == "percentile_low: 0 to less than percentile_high");
}

}  // namespace
}  // namespace histeq
