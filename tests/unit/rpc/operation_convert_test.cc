#include "rpc/operation_convert.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "base/error.h"

namespace histeq::rpc {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

v1::Operation Equalized(const v1::Equalize& equalize) {
  v1::Operation operation;
  *operation.mutable_equalize() = equalize;
  return operation;
}

EqualizeParameters ParametersOf(const v1::Equalize& equalize) {
  const auto operation = OperationFromProto(Equalized(equalize));
  REQUIRE(operation.ok());
  CHECK(operation->kind == engine::Operation::Kind::kEqualize);
  return operation->equalize;
}

// The refusal of an Equalize that `change` made wrong.
template <typename Change>
base::ErrorDetail RefusalOf(Change change) {
  v1::Equalize equalize;
  change(equalize);
  const absl::Status status = OperationFromProto(Equalized(equalize)).status();
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  const auto detail = base::GetErrorDetail(status);
  REQUIRE(detail.has_value());
  CHECK(detail->reason == "BAD_PARAMETER");
  CHECK(!detail->metadata.at("limit").empty());
  return *detail;
}

void CheckSame(const EqualizeParameters& a, const EqualizeParameters& b) {
  CHECK(a.method == b.method);
  CHECK(a.color == b.color);
  CHECK(a.clip_limit_q8 == b.clip_limit_q8);
  CHECK(a.grid_x == b.grid_x);
  CHECK(a.grid_y == b.grid_y);
  CHECK(a.strength_q16 == b.strength_q16);
  CHECK(a.has_nodata == b.has_nodata);
  CHECK(a.nodata == b.nodata);
  CHECK(a.significant_bits == b.significant_bits);
  CHECK(a.distribution == b.distribution);
  CHECK(a.reference == b.reference);
  CHECK(a.percentile_low_q4 == b.percentile_low_q4);
  CHECK(a.percentile_high_q4 == b.percentile_high_q4);
}

TEST_CASE("An empty Equalize is global equalization of luma with the contract's defaults") {
  const EqualizeParameters parameters = ParametersOf({});
  CHECK(parameters.method == Method::kGlobal);
  CHECK(parameters.color == Color::kLuma);
  CHECK(parameters.clip_limit_q8 == 2 * 256);
  CHECK(parameters.grid_x == 8);
  CHECK(parameters.grid_y == 8);
  CHECK(parameters.strength_q16 == 65536);
  CHECK(!parameters.has_nodata);
  CHECK(parameters.significant_bits == 0);
  CHECK(parameters.distribution == Distribution::kNone);
  CHECK(parameters.reference.empty());
  CHECK(parameters.percentile_low_q4 == 1 * 10000);
  CHECK(parameters.percentile_high_q4 == 99 * 10000);
}

TEST_CASE("Fractions are rounded to the nearest step") {
  v1::Equalize equalize;
  equalize.set_clip_limit(1 + 1.4 / 256);
  equalize.set_strength(1.6 / 65536);
  equalize.set_percentile_low(0.00004);
  equalize.set_percentile_high(99.99996);
  const EqualizeParameters parameters = ParametersOf(equalize);
  CHECK(parameters.clip_limit_q8 == 257);
  CHECK(parameters.strength_q16 == 2);
  CHECK(parameters.percentile_low_q4 == 0);
  CHECK(parameters.percentile_high_q4 == 1'000'000);
}

TEST_CASE("The ends of every range are allowed") {
  v1::Equalize lowest;
  lowest.set_clip_limit(1);
  lowest.set_grid_x(1);
  lowest.set_grid_y(1);
  lowest.set_strength(0);
  lowest.set_nodata(0);
  lowest.set_significant_bits(1);
  lowest.set_percentile_low(0);
  lowest.set_percentile_high(0.0001);
  const EqualizeParameters low = ParametersOf(lowest);
  CHECK(low.clip_limit_q8 == 256);
  CHECK(low.strength_q16 == 0);
  CHECK(low.has_nodata);
  CHECK(low.nodata == 0);

  v1::Equalize highest;
  highest.set_clip_limit(1'000'000);
  highest.set_grid_x(256);
  highest.set_grid_y(256);
  highest.set_strength(1);
  highest.set_nodata(65535);
  highest.set_significant_bits(16);
  highest.set_percentile_low(99.9999);
  highest.set_percentile_high(100);
  CHECK(ParametersOf(highest).clip_limit_q8 == 256'000'000);
}

TEST_CASE("Numbers out of range are refused with their field and the allowed range") {
  using E = v1::Equalize;
  for (const double wrong : {0.999, 0.0, -2.0, 1'000'000.01, kNaN, kInfinity, -kInfinity}) {
    const auto detail = RefusalOf([&](E& e) { e.set_clip_limit(wrong); });
    CHECK(detail.field == "operation.equalize.clip_limit");
    CHECK(detail.metadata.at("limit") == "1 to 1000000");
  }
  for (const double wrong : {-0.0001, 1.0001, 2.0, kNaN, kInfinity, -kInfinity}) {
    const auto detail = RefusalOf([&](E& e) { e.set_strength(wrong); });
    CHECK(detail.field == "operation.equalize.strength");
    CHECK(detail.metadata.at("limit") == "0 to 1");
  }
  for (const double wrong : {-0.0001, 100.0001, kNaN, kInfinity, -kInfinity}) {
    CHECK(RefusalOf([&](E& e) { e.set_percentile_low(wrong); }).field ==
          "operation.equalize.percentile_low");
    CHECK(RefusalOf([&](E& e) { e.set_percentile_high(wrong); }).field ==
          "operation.equalize.percentile_high");
  }
  for (const uint32_t wrong : {0u, 257u, UINT32_MAX}) {
    CHECK(RefusalOf([&](E& e) { e.set_grid_x(wrong); }).field == "operation.equalize.grid_x");
    CHECK(RefusalOf([&](E& e) { e.set_grid_y(wrong); }).metadata.at("limit") == "1 to 256");
  }
  for (const uint32_t wrong : {65536u, UINT32_MAX}) {
    CHECK(RefusalOf([&](E& e) { e.set_nodata(wrong); }).field == "operation.equalize.nodata");
  }
  for (const uint32_t wrong : {0u, 17u, UINT32_MAX}) {
    CHECK(RefusalOf([&](E& e) { e.set_significant_bits(wrong); }).metadata.at("limit") ==
          "1 to 16");
  }
}

TEST_CASE("Percentiles must leave something between them, after rounding") {
  const auto refusal = [](double low, double high) {
    return RefusalOf([&](v1::Equalize& e) {
             e.set_method(v1::Equalize::METHOD_STRETCH);
             e.set_percentile_low(low);
             e.set_percentile_high(high);
           })
        .field;
  };
  CHECK(refusal(50, 50) == "operation.equalize.percentile_low");
  CHECK(refusal(60, 50) == "operation.equalize.percentile_low");
  CHECK(refusal(50.000001, 50.000002) == "operation.equalize.percentile_low");
  // Against the default of the other one.
  CHECK(RefusalOf([](v1::Equalize& e) { e.set_percentile_low(99.5); }).field ==
        "operation.equalize.percentile_low");
}

TEST_CASE("Enumerators that this version does not know are refused") {
  CHECK(RefusalOf([](v1::Equalize& e) {
          e.set_method(static_cast<v1::Equalize::Method>(6));
        }).field == "operation.equalize.method");
  CHECK(RefusalOf([](v1::Equalize& e) {
          e.set_color(static_cast<v1::Equalize::Color>(-1));
        }).field == "operation.equalize.color");
  for (const int wrong : {-1, 0, 4}) {
    CHECK(RefusalOf([&](v1::Equalize& e) {
            e.set_target_distribution(static_cast<v1::Equalize::Distribution>(wrong));
          }).field == "operation.equalize.target_distribution");
  }
}

TEST_CASE("Parameters of other methods are accepted") {
  v1::Equalize equalize;
  equalize.set_method(v1::Equalize::METHOD_STRETCH);
  equalize.set_clip_limit(3);
  equalize.set_grid_x(4);
  equalize.set_reference_image_id("img-1");
  const auto operation = OperationFromProto(Equalized(equalize));
  REQUIRE(operation.ok());
  CHECK(!operation->reads_reference);
  CHECK(ReferenceImageId(Equalized(equalize)).empty());
}

TEST_CASE("Matching takes exactly one reference") {
  v1::Equalize equalize;
  equalize.set_method(v1::Equalize::METHOD_MATCH);
  SECTION("none") {
    CHECK(RefusalOf([](v1::Equalize& e) { e.set_method(v1::Equalize::METHOD_MATCH); }).field ==
          "operation.equalize.reference");
  }
  SECTION("another image") {
    equalize.set_reference_image_id("img-1");
    const auto operation = OperationFromProto(Equalized(equalize));
    REQUIRE(operation.ok());
    CHECK(operation->reads_reference);
    CHECK(operation->equalize.reference.empty());
    CHECK(ReferenceImageId(Equalized(equalize)) == "img-1");
  }
  SECTION("a distribution") {
    equalize.set_target_distribution(v1::Equalize::DISTRIBUTION_RAYLEIGH);
    const auto operation = OperationFromProto(Equalized(equalize));
    REQUIRE(operation.ok());
    CHECK(!operation->reads_reference);
    CHECK(operation->equalize.distribution == Distribution::kRayleigh);
  }
  SECTION("a histogram") {
    for (int v = 0; v < 256; ++v) {
      equalize.mutable_reference_histogram()->add_counts(static_cast<uint64_t>(v));
    }
    const EqualizeParameters parameters = ParametersOf(equalize);
    REQUIRE(parameters.reference.size() == 256);
    CHECK(parameters.reference[255] == 255);
  }
}

TEST_CASE("Reference histograms that are none are refused") {
  const auto refusal = [](int size, uint64_t first, uint64_t second) {
    return RefusalOf([&](v1::Equalize& e) {
             e.set_method(v1::Equalize::METHOD_MATCH);
             auto& counts = *e.mutable_reference_histogram()->mutable_counts();
             counts.Resize(size, 0);
             if (size > 1) {
               counts[0] = first;
               counts[1] = second;
             }
           })
        .field;
  };
  const std::string field = "operation.equalize.reference_histogram";
  CHECK(refusal(0, 0, 0) == field);
  CHECK(refusal(255, 1, 1) == field);
  CHECK(refusal(257, 1, 1) == field);
  CHECK(refusal(256, 0, 0) == field);
  CHECK(refusal(256, uint64_t{1} << 63, 0) == field);
  CHECK(refusal(65536, uint64_t{1} << 62, uint64_t{1} << 62) == field);
  CHECK(refusal(256, UINT64_MAX, 1) == field);
}

TEST_CASE("Image ids that cannot be any are refused") {
  for (const std::string& wrong : {std::string(), std::string(65, 'a')}) {
    CHECK(RefusalOf([&](v1::Equalize& e) {
            e.set_method(v1::Equalize::METHOD_MATCH);
            e.set_reference_image_id(wrong);
          }).field == "operation.equalize.reference_image_id");
  }
}

TEST_CASE("Parameters come back from the contract exactly as they were") {
  std::mt19937 random(20261124);
  const auto pick = [&random](uint32_t lowest, uint32_t highest) {
    return std::uniform_int_distribution<uint32_t>(lowest, highest)(random);
  };
  for (int i = 0; i < 2000; ++i) {
    EqualizeParameters parameters;
    parameters.method = static_cast<Method>(pick(1, 5));
    parameters.color = static_cast<Color>(pick(1, 3));
    parameters.clip_limit_q8 = pick(256, 256'000'000);
    parameters.grid_x = pick(1, 256);
    parameters.grid_y = pick(1, 256);
    parameters.strength_q16 = pick(0, 65536);
    parameters.has_nodata = pick(0, 1) == 1;
    if (parameters.has_nodata) parameters.nodata = pick(0, 65535);
    parameters.significant_bits = pick(0, 16);
    parameters.percentile_low_q4 = pick(0, 999'999);
    parameters.percentile_high_q4 = pick(parameters.percentile_low_q4 + 1, 1'000'000);
    if (parameters.method == Method::kMatch && pick(0, 1) == 1) {
      parameters.reference.assign(256, 0);
      for (uint64_t& count : parameters.reference) count = pick(0, UINT32_MAX);
    } else if (parameters.method == Method::kMatch || pick(0, 1) == 1) {
      parameters.distribution = static_cast<Distribution>(pick(1, 3));
    }
    CheckSame(ParametersOf(ToProto(parameters)), parameters);
  }
}

v1::Thumbnail ThumbnailProto(uint32_t width, uint32_t height) {
  v1::Thumbnail proto;
  proto.set_width(width);
  proto.set_height(height);
  return proto;
}

TEST_CASE("thumbnails: defaults, and everything there and back") {
  v1::Operation operation;
  *operation.mutable_thumbnail() = ThumbnailProto(256, 128);
  auto converted = OperationFromProto(operation);
  REQUIRE(converted.ok());
  CHECK(converted->kind == engine::Operation::Kind::kThumbnail);
  engine::ThumbnailParameters expected;
  expected.width = 256;
  expected.height = 128;
  REQUIRE(converted->thumbnails.size() == 1);
  CHECK(converted->thumbnails[0] == expected);
  expected = {.width = 1,
              .height = 16384,
              .fit = engine::ThumbnailParameters::Fit::kCover,
              .format = codec::ImageFormat::kPng,
              .quality = 1,
              .enlarge = true,
              .linear_light = true,
              .background = 0x123456};
  converted->thumbnails = {expected};
  converted = OperationFromProto(ToProto(*converted));
  REQUIRE(converted.ok());
  CHECK(converted->thumbnails.at(0) == expected);
}

TEST_CASE("derivations: everything there and back") {
  v1::Operation operation;
  v1::Derive& derive = *operation.mutable_derive();
  *derive.add_thumbnails() = ThumbnailProto(10, 20);
  *derive.add_thumbnails() = ThumbnailProto(20, 20);
  const bool equalizes = GENERATE(true, false);
  if (equalizes) derive.mutable_equalize()->set_method(v1::Equalize::METHOD_CLAHE);
  auto converted = OperationFromProto(operation);
  REQUIRE(converted.ok());
  CHECK(converted->kind == engine::Operation::Kind::kDerive);
  CHECK(converted->equalizes == equalizes);
  const auto again = OperationFromProto(ToProto(*converted));
  REQUIRE(again.ok());
  CHECK(again->equalizes == equalizes);
  CHECK(again->thumbnails == converted->thumbnails);
  if (equalizes) CheckSame(again->equalize, converted->equalize);
  CHECK(ReferenceImageId(operation).empty());
  if (equalizes) {
    derive.mutable_equalize()->set_method(v1::Equalize::METHOD_MATCH);
    derive.mutable_equalize()->set_reference_image_id("img-1");
    CHECK(ReferenceImageId(operation) == "img-1");
    CHECK(OperationFromProto(operation)->reads_reference);
  }
}

TEST_CASE("thumbnails that are refused, whatever the image") {
  v1::Operation operation;
  v1::Thumbnail& thumbnail = *operation.mutable_thumbnail();
  thumbnail = ThumbnailProto(256, 256);
  std::string field;
  SECTION("width") {
    thumbnail.set_width(0);
    field = "operation.thumbnail.width";
  }
  SECTION("height") {
    thumbnail.set_height(16385);
    field = "operation.thumbnail.height";
  }
  SECTION("fit") {
    thumbnail.set_fit(static_cast<v1::Thumbnail::Fit>(4));
    field = "operation.thumbnail.fit";
  }
  SECTION("format") {
    thumbnail.set_format(static_cast<v1::ImageFormat>(3));
    field = "operation.thumbnail.format";
  }
  SECTION("quality") {
    thumbnail.set_quality(GENERATE(0u, 101u));
    field = "operation.thumbnail.quality";
  }
  SECTION("background") {
    thumbnail.set_background(0x1000000);
    field = "operation.thumbnail.background";
  }
  SECTION("no thumbnails") {
    operation.mutable_derive();
    field = "operation.derive.thumbnails";
  }
  SECTION("two alike, the defaults written out") {
    v1::Derive& derive = *operation.mutable_derive();
    *derive.add_thumbnails() = ThumbnailProto(10, 10);
    *derive.add_thumbnails() = ThumbnailProto(10, 10);
    derive.mutable_thumbnails(1)->set_quality(85);
    field = "operation.derive.thumbnails";
  }
  SECTION("too many") {
    for (uint32_t i = 1; i <= engine::kMaxThumbnails + 1; ++i)
      *operation.mutable_derive()->add_thumbnails() = ThumbnailProto(i, i);
    field = "operation.derive.thumbnails";
  }
  SECTION("one of several") {
    v1::Derive& derive = *operation.mutable_derive();
    *derive.add_thumbnails() = ThumbnailProto(10, 10);
    *derive.add_thumbnails() = ThumbnailProto(10, 0);
    field = "operation.derive.thumbnails[1].height";
  }
  SECTION("the equalization of several") {
    v1::Derive& derive = *operation.mutable_derive();
    *derive.add_thumbnails() = ThumbnailProto(10, 10);
    derive.mutable_equalize()->set_strength(2);
    field = "operation.derive.equalize.strength";
  }
  const absl::Status status = OperationFromProto(operation).status();
  REQUIRE(status.code() == absl::StatusCode::kInvalidArgument);
  const auto detail = base::GetErrorDetail(status);
  CHECK(detail->reason == "BAD_PARAMETER");
  CHECK(detail->field == field);
  CHECK(detail->metadata.count("limit") == 1);
}

TEST_CASE("Analyze is taken; nothing is not") {
  v1::Operation operation;
  SECTION("analyze") {
    operation.mutable_analyze();
    const auto converted = OperationFromProto(operation);
    REQUIRE(converted.ok());
    CHECK(converted->kind == engine::Operation::Kind::kAnalyze);
    CHECK(ReferenceImageId(operation).empty());
  }
  SECTION("nothing") {
    const absl::Status status = OperationFromProto(operation).status();
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK(base::GetErrorDetail(status)->reason == "UNKNOWN_OPERATION");
    CHECK(base::GetErrorDetail(status)->field == "operation");
  }
}

}  // namespace
}  // namespace histeq::rpc
