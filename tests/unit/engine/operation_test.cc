#include "engine/operation.h"

#include <catch2/catch.hpp>
#include <functional>
#include <string>

#include "base/error.h"

namespace histeq::engine {
namespace {

const codec::ImageInfo kGrayPng{.format = codec::ImageFormat::kPng,
                                .width = 1000,
                                .height = 1000,
                                .channels = 1,
                                .bits_per_sample = 8};
const codec::ImageInfo kDeepRgbPng{.format = codec::ImageFormat::kPng,
                                   .width = 1000,
                                   .height = 1000,
                                   .channels = 3,
                                   .bits_per_sample = 16};
const codec::ImageInfo kJpeg{.format = codec::ImageFormat::kJpeg,
                             .width = 1000,
                             .height = 1000,
                             .channels = 3,
                             .bits_per_sample = 8};

Operation With(const std::function<void(EqualizeParameters&)>& change) {
  Operation operation;
  change(operation.equalize);
  return operation;
}

std::string FieldAtFault(const Operation& operation, const codec::ImageInfo& info) {
  const absl::Status status = CheckOperation(operation, info);
  if (status.ok()) return "";
  REQUIRE(status.code() == absl::StatusCode::kInvalidArgument);
  const auto detail = base::GetErrorDetail(status);
  REQUIRE(detail.has_value());
  REQUIRE(detail->reason == "BAD_PARAMETER");
  REQUIRE_FALSE(detail->metadata.at("limit").empty());
  return detail->field;
}

}  // namespace

TEST_CASE("the default operation fits every image") {
  for (const codec::ImageInfo& info : {kGrayPng, kDeepRgbPng, kJpeg}) {
    CHECK(FieldAtFault({}, info).empty());
    CHECK(FieldAtFault({.kind = Operation::Kind::kAnalyze}, info).empty());
  }
}

TEST_CASE("a parameter out of its range is named as in the contract") {
  const auto strength = With([](auto& p) { p.strength_q16 = 2 * 65536; });
  CHECK(FieldAtFault(strength, kGrayPng) == "operation.equalize.strength");
  const auto grid = With([](auto& p) {
    p.method = Method::kClahe;
    p.grid_x = 0;
  });
  CHECK(FieldAtFault(grid, kJpeg) == "operation.equalize.grid_x");
  const auto clip = With([](auto& p) {
    p.method = Method::kClipLimited;
    p.clip_limit_q8 = 100;
  });
  CHECK(FieldAtFault(clip, kJpeg) == "operation.equalize.clip_limit");
  const auto nodata = With([](auto& p) {
    p.has_nodata = true;
    p.nodata = 300;
  });
  CHECK(FieldAtFault(nodata, kGrayPng) == "operation.equalize.nodata");
  CHECK(FieldAtFault(nodata, kDeepRgbPng).empty());
  const auto bits = With([](auto& p) { p.significant_bits = 12; });
  CHECK(FieldAtFault(bits, kJpeg) == "operation.equalize.significant_bits");
  CHECK(FieldAtFault(bits, kDeepRgbPng).empty());
}

TEST_CASE("a grid whose histograms need too much memory is refused") {
  const auto grid = With([](auto& p) {
    p.method = Method::kClahe;
    p.grid_x = 64;
    p.grid_y = 64;
  });
  CHECK(FieldAtFault(grid, kGrayPng).empty());
  CHECK(FieldAtFault(grid, kDeepRgbPng) == "operation.equalize.grid_x");
  const auto detail = base::GetErrorDetail(CheckOperation(grid, kDeepRgbPng));
  CHECK(detail->metadata.at("actual") == "4096");
  CHECK(detail->metadata.at("limit") == "512 tiles");
}

TEST_CASE("a palette with three channels is counted as it will be decoded") {
  const auto grid = With([](auto& p) {
    p.method = Method::kClahe;
    p.color = Color::kPerChannel;
    p.grid_x = 8;
    p.grid_y = 8;
  });
  codec::ImageInfo palette = kGrayPng;
  palette.has_alpha = true;
  CHECK(FieldAtFault(grid, palette).empty());
}

TEST_CASE("a reference image may still be to come") {
  Operation operation = With([](auto& p) { p.method = Method::kMatch; });
  CHECK(FieldAtFault(operation, kGrayPng) == "operation.equalize.reference_histogram");
  operation.reads_reference = true;
  CHECK(FieldAtFault(operation, kGrayPng).empty());
  operation.equalize.strength_q16 = 70'000;
  CHECK(FieldAtFault(operation, kGrayPng) == "operation.equalize.strength");
  operation.equalize.strength_q16 = 65536;
  operation.equalize.reference.assign(256, 1);
  CHECK(FieldAtFault(operation, kGrayPng).empty());
  CHECK(FieldAtFault(operation, kDeepRgbPng) == "operation.equalize.reference_image_id");
  operation.equalize.reference.clear();
  operation.equalize.distribution = Distribution::kGaussian;
  CHECK(FieldAtFault(operation, kGrayPng) == "operation.equalize.reference_image_id");
  operation.equalize.distribution = Distribution::kNone;
  operation.equalize.method = Method::kGlobal;
  CHECK(FieldAtFault(operation, kGrayPng) == "operation.equalize.reference_image_id");
}

TEST_CASE("planes stay planes where luma alone is wanted") {
  CHECK(SampleModeFor({}) == codec::SampleMode::kRawPlanes);
  CHECK(SampleModeFor(With([](auto& p) { p.color = Color::kPerChannel; })) ==
        codec::SampleMode::kInterleaved);
  CHECK(SampleModeFor({.kind = Operation::Kind::kAnalyze}) == codec::SampleMode::kInterleavedYCbCr);
}

}  // namespace histeq::engine
