#include "engine/whole_image.h"

#include <catch2/catch.hpp>
#include <limits>

#include "base/error.h"

namespace histeq::engine {
namespace {

constexpr uint64_t kMiB = 1 << 20;

codec::ImageInfo Png(uint32_t width, uint32_t height, uint32_t channels, uint32_t bits) {
  return {.format = codec::ImageFormat::kPng,
          .width = width,
          .height = height,
          .channels = channels,
          .bits_per_sample = bits};
}

uint64_t Bytes(const Operation& operation, const codec::ImageInfo& info) {
  const auto bytes = WholeImageBytes(operation, info);
  REQUIRE(bytes.ok());
  return *bytes;
}

}  // namespace

TEST_CASE("what a whole image takes counts samples, segment, statistics and mapping") {
  // Gray, perhaps with a transparent value: 1 MiB of samples.
  const codec::ImageInfo deep = Png(512, 512, 1, 16);
  Operation operation;
  const uint64_t global = Bytes(operation, deep);
  CHECK(global >= 3 * kMiB + 65536 * (8 + 2 * 2));
  CHECK(global < 6 * kMiB);
  operation.equalize.method = Method::kClahe;
  operation.equalize.grid_x = operation.equalize.grid_y = 16;
  CHECK(Bytes(operation, deep) - global >= (128 + 2 * 32 - 1) * kMiB);
}

TEST_CASE("samples of a whole image are counted up to what stays in memory") {
  codec::ImageInfo info = Png(8192, 1024, 3, 8);
  CHECK(Bytes({}, info) >= (32 + 2 * 4) * kMiB);
  CHECK(Bytes({}, info) < 44 * kMiB);
  info.height = 100'000;
  CHECK(Bytes({}, info) >= (64 + 2 * 4) * kMiB);
  CHECK(Bytes({}, info) < 76 * kMiB);
  // A progressive JPEG's coefficients wait too.
  info = {.format = codec::ImageFormat::kJpeg,
          .width = 2048,
          .height = 1024,
          .channels = 3,
          .bits_per_sample = 8};
  const uint64_t sequential = Bytes({}, info);
  info.progressive = true;
  CHECK(Bytes({}, info) == sequential + 2 * 6 * kMiB);
}

TEST_CASE("what a header may say does not overflow") {
  constexpr uint32_t kMost = std::numeric_limits<int32_t>::max();
  CHECK(Bytes({}, Png(kMost, kMost, 4, 16)) > 16ull << 30);
  CHECK(Bytes({}, Png(1, kMost, 4, 16)) < 80 * kMiB);
}

TEST_CASE("an operation that does not go with the image is refused") {
  Operation operation;
  operation.equalize.method = Method::kClahe;
  operation.equalize.grid_x = std::numeric_limits<uint32_t>::max();
  const auto bytes = WholeImageBytes(operation, Png(512, 512, 1, 16));
  REQUIRE(bytes.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(base::GetErrorDetail(bytes.status())->reason == "BAD_PARAMETER");
}

}  // namespace histeq::engine
