#include "engine/plan.h"

#include <catch2/catch.hpp>

namespace histeq::engine {
namespace {

codec::RasterLayout Yuv420(uint32_t width) {
  const uint32_t stored = (width + 7) / 8 * 8;
  const uint32_t half = (width + 1) / 2;
  const uint32_t half_stored = (half + 7) / 8 * 8;
  codec::RasterLayout layout;
  layout.planes = {
      {stored, width, 1, 1, 2}, {half_stored, half, 1, 1, 1}, {half_stored, half, 1, 1, 1}};
  layout.max_vertical_sampling = 2;
  layout.unit_rows = 16;
  return layout;
}

codec::RasterLayout Interleaved(uint32_t width, uint32_t channels, uint32_t bytes) {
  codec::RasterLayout layout;
  layout.planes = {{width, width, channels, bytes, 1}};
  return layout;
}

codec::EncodeSpec Jpeg(uint32_t width, uint32_t height) {
  return {width, height, codec::JpegEncodeSpec{}};
}
codec::EncodeSpec Png(uint32_t width, uint32_t height) {
  return {width, height, codec::PngEncodeSpec{}};
}

void CheckCovers(const Plan& plan, uint32_t height, uint32_t multiple) {
  uint64_t row = 0;
  for (uint32_t i = 0; i < plan.count(); ++i) {
    const Segment segment = plan.at(i);
    REQUIRE(segment.index == i);
    REQUIRE(segment.first_row == row);
    REQUIRE(segment.rows > 0);
    REQUIRE(segment.first_row % multiple == 0);
    if (i + 1 < plan.count()) REQUIRE(segment.rows % multiple == 0);
    row += segment.rows;
  }
  REQUIRE(row == height);
}

}  // namespace

TEST_CASE("a plan covers every row once, cut where fragments may be cut") {
  const uint32_t width = GENERATE(1u, 17u, 1000u, 16384u, 65500u);
  const uint32_t height = GENERATE(1u, 127u, 128u, 129u, 5000u, 65500u);
  const codec::RasterLayout jpeg = Yuv420(width);
  CheckCovers(MakePlan(Jpeg(width, height), jpeg, height), height, 128);
  const codec::RasterLayout png = Interleaved(width, 4, 2);
  CheckCovers(MakePlan(Png(width, height), png, height), height, 1);
}

TEST_CASE("segments hold about kSegmentBytes") {
  const codec::RasterLayout layout = Interleaved(1000, 3, 1);
  const Plan plan = MakePlan(Png(1000, 10'000), layout, 10'000);
  REQUIRE(plan.count() > 5);
  const uint64_t bytes = codec::SegmentBytes(layout, plan.at(0).rows);
  CHECK(bytes <= kSegmentBytes);
  CHECK(bytes > kSegmentBytes / 2);
}

TEST_CASE("rows wider than a segment are segments of their own") {
  const codec::RasterLayout layout = Interleaved(1'000'000, 4, 2);
  const Plan plan = MakePlan(Png(1'000'000, 5), layout, 5);
  REQUIRE(plan.count() == 5);
  CHECK(plan.at(3).rows == 1);
}

TEST_CASE("the highest and narrowest images do not overflow") {
  const uint32_t height = 1u << 30;
  const codec::RasterLayout layout = Interleaved(1, 1, 1);
  const Plan plan = MakePlan(Png(1, height), layout, height);
  const Segment last = plan.at(plan.count() - 1);
  CHECK(uint64_t{last.first_row} + last.rows == height);
}

TEST_CASE("where an image is cut is part of the format") {
  // Changing these numbers changes the bytes of results.
  const Plan plan = MakePlan(Jpeg(16384, 16384), Yuv420(16384), 16384);
  CHECK(plan.count() == 128);
  CHECK(plan.at(1).first_row == 128);
  const Plan gray = MakePlan(Png(4096, 4096), Interleaved(4096, 1, 1), 4096);
  CHECK(gray.count() == 4);
  CHECK(gray.at(1).first_row == 1024);
}

}  // namespace histeq::engine
