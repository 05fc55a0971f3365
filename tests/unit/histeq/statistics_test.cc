#include "histeq/statistics.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <random>
#include <vector>

#include "histeq/equalize.h"
#include "histeq_histogram.h"
#include "histeq_tables.h"

namespace histeq {
namespace {

std::vector<uint64_t> RandomHistogram(std::mt19937& random, size_t bins, uint32_t most) {
  std::vector<uint64_t> histogram(bins);
  for (uint64_t& count : histogram) count = random() % 3 == 0 ? random() % (most + 1) : 0;
  return histogram;
}

TEST_CASE("A summary equals its twin", "[histeq]") {
  std::mt19937 random(1);
  for (const size_t bins : {size_t{1}, size_t{256}, size_t{65536}}) {
    for (int i = 0; i < 20; ++i) {
      const auto histogram = RandomHistogram(random, bins, 1u << (i + 1));
      const Summary fast = SummaryOf(histogram);
      const Summary slow = reference::Summarize(histogram);
      CHECK(fast.count == slow.count);
      CHECK(fast.minimum == slow.minimum);
      CHECK(fast.maximum == slow.maximum);
      CHECK(fast.mean == Approx(slow.mean).epsilon(1e-12));
      CHECK(fast.standard_deviation == Approx(slow.standard_deviation).epsilon(1e-9).margin(1e-9));
      CHECK(fast.entropy == Approx(slow.entropy).epsilon(1e-12).margin(1e-12));
    }
  }
}

TEST_CASE("Summaries of known histograms", "[histeq]") {
  const std::vector<uint64_t> nothing(256);
  CHECK(SummaryOf(nothing).count == 0);
  CHECK(SummaryOf(nothing).mean == 0);
  std::vector<uint64_t> one(256);
  one[200] = 5;
  CHECK(SummaryOf(one).mean == 200);
  CHECK(SummaryOf(one).standard_deviation == 0);
  CHECK(SummaryOf(one).entropy == 0);
  CHECK_FALSE(std::signbit(SummaryOf(one).entropy));
  const std::vector<uint64_t> flat(256, 3);
  CHECK(SummaryOf(flat).entropy == Approx(8));
  CHECK(SummaryOf(flat).mean == Approx(127.5));
}

TEST_CASE("A percentile equals the nearest rank of the sorted samples", "[histeq]") {
  std::mt19937 random(2);
  for (int i = 0; i < 50; ++i) {
    const auto histogram = RandomHistogram(random, 256, 1u << (i % 6));
    for (const uint32_t percentile :
         {0u, 1u, 10000u, 250000u, 333333u, 500000u, 990000u, 999999u, 1000000u}) {
      CHECK(PercentileOf(histogram, percentile) == reference::Percentile(histogram, percentile));
    }
  }
  CHECK(PercentileOf(std::vector<uint64_t>(256), 500000) == 0);
}

TEST_CASE("Counts beyond 2^32 and 2^53 merge and map exactly", "[histeq]") {
  const EqualizeParameters parameters;
  for (const uint32_t bits : {8u, 16u}) {
    ImageShape shape;
    shape.bits_per_sample = bits;
    std::mt19937_64 random(bits);
    std::vector<uint64_t> part(SampleValues(shape));
    for (uint64_t& count : part) count = random() >> (bits == 8 ? 16 : 24);
    Statistics merged = Statistics::Create(parameters, shape);
    for (int i = 0; i < 9; ++i) {
      REQUIRE(merged.Merge(Statistics::FromWords(parameters, shape, part)));
    }
    std::vector<uint64_t> nine(part);
    for (uint64_t& count : nine) count *= 9;
    CHECK(std::equal(nine.begin(), nine.end(), merged.words().begin()));
    CHECK(SummaryOf(merged.words()).count > uint64_t{1} << 55);
    for (const Method method : {Method::kGlobal, Method::kClipLimited, Method::kStretch}) {
      EqualizeParameters other;
      other.method = method;
      const Mapping mapping = ComputeMapping(other, shape, merged);
      const auto slow = reference::Tables(other, shape, nine);
      for (uint32_t value = 0; value < SampleValues(shape); ++value) {
        const uint32_t fast = bits == 8
                                  ? mapping.data()[value]
                                  : reinterpret_cast<const uint16_t*>(mapping.data().data())[value];
        if (fast != slow[0][value]) FAIL("value " << value << ": " << fast);
      }
    }
  }
}

TEST_CASE("More rows than the kernels' counters hold are counted", "[histeq]") {
  const EqualizeParameters parameters;
  const ImageShape shape{.width = 1 << 16, .height = (1 << 15) + 5};
  const std::vector<uint8_t> row(shape.width, 9);
  Statistics statistics = Statistics::Create(parameters, shape);
  // A stride of zero: one row stands for all of them.
  AccumulateRows(parameters, shape, ConstRows{row.data(), 0, shape.height}, 0, statistics);
  CHECK(statistics.words()[9] == (uint64_t{1} << 31) + 5 * 65536);
  CHECK(SummaryOf(statistics.words()).count == (uint64_t{1} << 31) + 5 * 65536);
}

TEST_CASE("Merging is associative and commutative", "[histeq]") {
  EqualizeParameters parameters;
  parameters.method = Method::kClahe;
  parameters.grid_x = 3;
  parameters.grid_y = 2;
  const ImageShape shape{.width = 9, .height = 8};
  std::mt19937 random(3);
  std::vector<std::vector<uint64_t>> parts;
  for (int i = 0; i < 6; ++i) {
    parts.push_back(
        RandomHistogram(random, Statistics::BytesFor(parameters, shape) / sizeof(uint64_t), 1000));
  }
  const auto merge = [&](Statistics& into, const std::vector<uint64_t>& words) {
    REQUIRE(into.Merge(Statistics::FromWords(parameters, shape, words)));
  };
  Statistics first = Statistics::Create(parameters, shape);
  for (const auto& part : parts) merge(first, part);
  for (int i = 0; i < 10; ++i) {
    std::shuffle(parts.begin(), parts.end(), random);
    Statistics left = Statistics::Create(parameters, shape);
    Statistics right = Statistics::Create(parameters, shape);
    for (size_t k = 0; k < parts.size(); ++k) merge(k < 2 ? left : right, parts[k]);
    REQUIRE(left.Merge(right));
    CHECK(std::equal(left.words().begin(), left.words().end(), first.words().begin()));
  }
}

TEST_CASE("Statistics of another size are refused", "[histeq]") {
  EqualizeParameters parameters;
  const ImageShape bytes{.width = 4, .height = 4};
  ImageShape deep = bytes;
  deep.bits_per_sample = 16;
  Statistics small = Statistics::Create(parameters, bytes);
  const Statistics large = Statistics::Create(parameters, deep);
  CHECK_FALSE(small.Merge(large));
  CHECK_FALSE(small.Merge(Statistics()));
  CHECK_FALSE(Statistics::FromWords(parameters, deep, small.words()).valid());
  CHECK_FALSE(ComputeMapping(parameters, deep, small).valid());
  CHECK_FALSE(ComputeMapping(parameters, deep, Statistics()).valid());
  const std::vector<uint8_t> table(255);
  CHECK_FALSE(Mapping::FromBytes(parameters, bytes, table));
  CHECK_FALSE(Mapping::FromBytes(parameters, deep, std::vector<uint8_t>(256)));
  CHECK(small.Merge(Statistics::Create(parameters, bytes)));
}

TEST_CASE("Moved-from statistics and mappings are empty", "[histeq]") {
  const EqualizeParameters parameters;
  const ImageShape shape{.width = 4, .height = 4};
  Statistics statistics = Statistics::Create(parameters, shape);
  const Statistics taken = std::move(statistics);
  CHECK(taken.valid());
  CHECK_FALSE(statistics.valid());  // NOLINT(bugprone-use-after-move): the point of the test.
  Mapping mapping = ComputeMapping(parameters, shape, taken);
  const Mapping kept = std::move(mapping);
  CHECK(kept.valid());
  CHECK_FALSE(mapping.valid());  // NOLINT(bugprone-use-after-move): the point of the test.
}

}  // namespace
}  // namespace histeq
