#include "rpc/operation_convert.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace histeq::rpc {
namespace {

constexpr double kClipLimitUnits = 256;
constexpr double kStrengthUnits = 65536;
constexpr double kPercentileUnits = 10000;
// As the server makes them.
constexpr size_t kMaxImageIdBytes = 64;

// A field of the operation: the message it stands in, as "derive.equalize.", and its name.
struct Field {
  const std::string& in;
  const char* name;
};

absl::Status BadParameter(const Field& field, const std::string& actual, const std::string& limit) {
  return base::MakeError(absl::StatusCode::kInvalidArgument,
                         fmt::format("{} is {}; allowed: {}", field.name, actual, limit),
                         {.reason = "BAD_PARAMETER",
                          .metadata = {{"limit", limit}, {"actual", actual}},
                          .field = fmt::format("operation.{}{}", field.in, field.name)});
}

// `value` in units of 1/units. The comparison is false for NaN.
absl::StatusOr<uint32_t> ToFixed(const Field& field, double value, double lowest, double highest,
                                 double units) {
  if (!(value >= lowest && value <= highest)) {
    return BadParameter(field, fmt::format("{}", value),
                        fmt::format("{:g} to {:.0f}", lowest, highest));
  }
  return static_cast<uint32_t>(std::llround(value * units));
}

absl::StatusOr<uint32_t> InRange(const Field& field, uint32_t value, uint32_t lowest,
                                 uint32_t highest) {
  if (value < lowest || value > highest) {
    return BadParameter(field, fmt::format("{}", value), fmt::format("{} to {}", lowest, highest));
  }
  return value;
}

absl::StatusOr<std::vector<uint64_t>> ReferenceCounts(const std::string& in,
                                                      const v1::Histogram& histogram) {
  const auto& counts = histogram.counts();
  if (counts.size() != 256 && counts.size() != 65536) {
    return BadParameter({in, "reference_histogram"}, fmt::format("of {} counts", counts.size()),
                        "256 or 65536 counts");
  }
  uint64_t sum = 0;
  for (const uint64_t count : counts) {
    // Both below 2^63: the sum cannot wrap.
    if (count >> 63 != 0 || (sum += count) >> 63 != 0) {
      return BadParameter({in, "reference_histogram"}, "of 2^63 samples or more",
                          "a sum of counts below 2^63");
    }
  }
  if (sum == 0) {
    return BadParameter({in, "reference_histogram"}, "empty", "at least one count above 0");
  }
  return std::vector<uint64_t>(counts.begin(), counts.end());
}

absl::StatusOr<EqualizeParameters> EqualizeFromProto(const std::string& in,
                                                     const v1::Equalize& proto) {
  EqualizeParameters parameters;
  if (!v1::Equalize::Method_IsValid(proto.method())) {
    return BadParameter({in, "method"}, fmt::format("{}", static_cast<int>(proto.method())),
                        "0 to 5");
  }
  if (proto.method() != v1::Equalize::METHOD_UNSPECIFIED) {
    parameters.method = static_cast<Method>(proto.method());
  }
  if (!v1::Equalize::Color_IsValid(proto.color())) {
    return BadParameter({in, "color"}, fmt::format("{}", static_cast<int>(proto.color())),
                        "0 to 3");
  }
  if (proto.color() != v1::Equalize::COLOR_UNSPECIFIED) {
    parameters.color = static_cast<Color>(proto.color());
  }
  if (proto.has_clip_limit()) {
    HISTEQ_ASSIGN_OR_RETURN(
        parameters.clip_limit_q8,
        ToFixed({in, "clip_limit"}, proto.clip_limit(), 1, 1'000'000, kClipLimitUnits));
  }
  if (proto.has_grid_x()) {
    HISTEQ_ASSIGN_OR_RETURN(parameters.grid_x, InRange({in, "grid_x"}, proto.grid_x(), 1, 256));
  }
  if (proto.has_grid_y()) {
    HISTEQ_ASSIGN_OR_RETURN(parameters.grid_y, InRange({in, "grid_y"}, proto.grid_y(), 1, 256));
  }
  if (proto.has_strength()) {
    HISTEQ_ASSIGN_OR_RETURN(parameters.strength_q16,
                            ToFixed({in, "strength"}, proto.strength(), 0, 1, kStrengthUnits));
  }
  if (proto.has_nodata()) {
    HISTEQ_ASSIGN_OR_RETURN(parameters.nodata, InRange({in, "nodata"}, proto.nodata(), 0, 65535));
    parameters.has_nodata = true;
  }
  if (proto.has_significant_bits()) {
    HISTEQ_ASSIGN_OR_RETURN(parameters.significant_bits,
                            InRange({in, "significant_bits"}, proto.significant_bits(), 1, 16));
  }
  if (proto.has_percentile_low()) {
    HISTEQ_ASSIGN_OR_RETURN(
        parameters.percentile_low_q4,
        ToFixed({in, "percentile_low"}, proto.percentile_low(), 0, 100, kPercentileUnits));
  }
  if (proto.has_percentile_high()) {
    HISTEQ_ASSIGN_OR_RETURN(
        parameters.percentile_high_q4,
        ToFixed({in, "percentile_high"}, proto.percentile_high(), 0, 100, kPercentileUnits));
  }
  if (parameters.percentile_low_q4 >= parameters.percentile_high_q4) {
    return BadParameter({in, "percentile_low"},
                        fmt::format("{}", parameters.percentile_low_q4 / kPercentileUnits),
                        fmt::format("0 to less than percentile_high, which is {}",
                                    parameters.percentile_high_q4 / kPercentileUnits));
  }
  switch (proto.reference_case()) {
    case v1::Equalize::kReferenceImageId:
      if (proto.reference_image_id().empty() ||
          proto.reference_image_id().size() > kMaxImageIdBytes) {
        return BadParameter({in, "reference_image_id"},
                            fmt::format("of {} bytes", proto.reference_image_id().size()),
                            fmt::format("1 to {} bytes", kMaxImageIdBytes));
      }
      break;
    case v1::Equalize::kReferenceHistogram: {
      HISTEQ_ASSIGN_OR_RETURN(parameters.reference,
                              ReferenceCounts(in, proto.reference_histogram()));
      break;
    }
    case v1::Equalize::kTargetDistribution:
      if (proto.target_distribution() < v1::Equalize::DISTRIBUTION_UNIFORM ||
          proto.target_distribution() > v1::Equalize::DISTRIBUTION_RAYLEIGH) {
        return BadParameter({in, "target_distribution"},
                            fmt::format("{}", static_cast<int>(proto.target_distribution())),
                            "1 to 3");
      }
      parameters.distribution = static_cast<Distribution>(proto.target_distribution());
      break;
    case v1::Equalize::REFERENCE_NOT_SET:
      if (parameters.method == Method::kMatch) {
        return BadParameter({in, "reference"}, "absent",
                            "exactly one of reference_image_id, reference_histogram and "
                            "target_distribution");
      }
      break;
  }
  return parameters;
}

absl::StatusOr<engine::ThumbnailParameters> ThumbnailFromProto(const std::string& in,
                                                               const v1::Thumbnail& proto) {
  using Fit = engine::ThumbnailParameters::Fit;
  engine::ThumbnailParameters parameters;
  HISTEQ_ASSIGN_OR_RETURN(parameters.width,
                          InRange({in, "width"}, proto.width(), 1, engine::kMaxThumbnailDimension));
  HISTEQ_ASSIGN_OR_RETURN(parameters.height, InRange({in, "height"}, proto.height(), 1,
                                                     engine::kMaxThumbnailDimension));
  if (!v1::Thumbnail::Fit_IsValid(proto.fit())) {
    return BadParameter({in, "fit"}, fmt::format("{}", static_cast<int>(proto.fit())), "0 to 3");
  }
  if (proto.fit() != v1::Thumbnail::FIT_UNSPECIFIED) parameters.fit = static_cast<Fit>(proto.fit());
  if (proto.format() != v1::IMAGE_FORMAT_UNSPECIFIED) {
    if (proto.format() != v1::IMAGE_FORMAT_JPEG && proto.format() != v1::IMAGE_FORMAT_PNG) {
      return BadParameter({in, "format"}, fmt::format("{}", static_cast<int>(proto.format())),
                          "0 to 2");
    }
    parameters.format = static_cast<codec::ImageFormat>(proto.format());
  }
  if (proto.has_quality()) {
    HISTEQ_ASSIGN_OR_RETURN(parameters.quality, InRange({in, "quality"}, proto.quality(), 1, 100));
  }
  parameters.enlarge = proto.enlarge();
  parameters.linear_light = proto.linear_light();
  if (proto.has_background()) {
    HISTEQ_ASSIGN_OR_RETURN(parameters.background,
                            InRange({in, "background"}, proto.background(), 0, 0xffffff));
  }
  return parameters;
}

absl::StatusOr<engine::Operation> DeriveFromProto(const v1::Derive& proto) {
  engine::Operation out;
  out.kind = engine::Operation::Kind::kDerive;
  out.equalizes = proto.has_equalize();
  if (out.equalizes) {
    HISTEQ_ASSIGN_OR_RETURN(out.equalize, EqualizeFromProto("derive.equalize.", proto.equalize()));
  }
  const auto count = static_cast<uint32_t>(proto.thumbnails_size());
  HISTEQ_RETURN_IF_ERROR(
      InRange({"derive.", "thumbnails"}, count, 1, engine::kMaxThumbnails).status());
  for (uint32_t i = 0; i < count; ++i) {
    HISTEQ_ASSIGN_OR_RETURN(engine::ThumbnailParameters parameters,
                            ThumbnailFromProto(fmt::format("derive.thumbnails[{}].", i),
                                               proto.thumbnails(static_cast<int>(i))));
    if (std::find(out.thumbnails.begin(), out.thumbnails.end(), parameters) !=
        out.thumbnails.end()) {
      return BadParameter({"derive.", "thumbnails"}, "one twice", "no two alike");
    }
    out.thumbnails.push_back(parameters);
  }
  return out;
}

}  // namespace

v1::Thumbnail ToProto(const engine::ThumbnailParameters& parameters) {
  v1::Thumbnail proto;
  proto.set_width(parameters.width);
  proto.set_height(parameters.height);
  proto.set_fit(static_cast<v1::Thumbnail::Fit>(parameters.fit));
  if (parameters.format.has_value())
    proto.set_format(static_cast<v1::ImageFormat>(*parameters.format));
  proto.set_quality(parameters.quality);
  proto.set_enlarge(parameters.enlarge);
  proto.set_linear_light(parameters.linear_light);
  proto.set_background(parameters.background);
  return proto;
}

absl::StatusOr<engine::Operation> OperationFromProto(const v1::Operation& operation) {
  engine::Operation out;
  switch (operation.kind_case()) {
    case v1::Operation::kEqualize: {
      out.kind = engine::Operation::Kind::kEqualize;
      HISTEQ_ASSIGN_OR_RETURN(out.equalize, EqualizeFromProto("equalize.", operation.equalize()));
      out.reads_reference = !ReferenceImageId(operation).empty();
      return out;
    }
    case v1::Operation::kAnalyze:
      out.kind = engine::Operation::Kind::kAnalyze;
      return out;
    case v1::Operation::kInspect:
      out.kind = engine::Operation::Kind::kInspect;
      return out;
    case v1::Operation::kThumbnail: {
      out.kind = engine::Operation::Kind::kThumbnail;
      HISTEQ_ASSIGN_OR_RETURN(engine::ThumbnailParameters parameters,
                              ThumbnailFromProto("thumbnail.", operation.thumbnail()));
      out.thumbnails = {parameters};
      return out;
    }
    case v1::Operation::kDerive: {
      HISTEQ_ASSIGN_OR_RETURN(out, DeriveFromProto(operation.derive()));
      out.reads_reference = !ReferenceImageId(operation).empty();
      return out;
    }
    case v1::Operation::KIND_NOT_SET:
      break;
  }
  return base::MakeError(absl::StatusCode::kInvalidArgument,
                         "the operation is empty, or of a kind that this version does not know",
                         {.reason = "UNKNOWN_OPERATION",
                          .metadata = {{"limit", "equalize, thumbnail, derive, analyze"}},
                          .field = "operation"});
}

v1::Equalize ToProto(const EqualizeParameters& parameters) {
  v1::Equalize proto;
  proto.set_method(static_cast<v1::Equalize::Method>(parameters.method));
  proto.set_color(static_cast<v1::Equalize::Color>(parameters.color));
  proto.set_clip_limit(parameters.clip_limit_q8 / kClipLimitUnits);
  proto.set_grid_x(parameters.grid_x);
  proto.set_grid_y(parameters.grid_y);
  proto.set_strength(parameters.strength_q16 / kStrengthUnits);
  if (parameters.has_nodata) proto.set_nodata(parameters.nodata);
  if (parameters.significant_bits != 0) proto.set_significant_bits(parameters.significant_bits);
  if (parameters.distribution != Distribution::kNone) {
    proto.set_target_distribution(static_cast<v1::Equalize::Distribution>(parameters.distribution));
  } else if (!parameters.reference.empty()) {
    proto.mutable_reference_histogram()->mutable_counts()->Assign(parameters.reference.begin(),
                                                                  parameters.reference.end());
  }
  proto.set_percentile_low(parameters.percentile_low_q4 / kPercentileUnits);
  proto.set_percentile_high(parameters.percentile_high_q4 / kPercentileUnits);
  return proto;
}

v1::Operation ToProto(const engine::Operation& operation) {
  v1::Operation proto;
  switch (operation.kind) {
    case engine::Operation::Kind::kAnalyze:
      proto.mutable_analyze();
      break;
    case engine::Operation::Kind::kInspect:
      proto.mutable_inspect();
      break;
    case engine::Operation::Kind::kThumbnail:
      *proto.mutable_thumbnail() = ToProto(operation.thumbnails.at(0));
      break;
    case engine::Operation::Kind::kDerive:
      if (operation.equalizes) {
        *proto.mutable_derive()->mutable_equalize() = ToProto(operation.equalize);
      }
      for (const engine::ThumbnailParameters& thumbnail : operation.thumbnails) {
        *proto.mutable_derive()->add_thumbnails() = ToProto(thumbnail);
      }
      break;
    case engine::Operation::Kind::kEqualize:
      *proto.mutable_equalize() = ToProto(operation.equalize);
      break;
  }
  return proto;
}

std::string ReferenceImageId(const v1::Operation& operation) {
  const v1::Equalize& equalize =
      operation.has_derive() ? operation.derive().equalize() : operation.equalize();
  return equalize.method() == v1::Equalize::METHOD_MATCH ? equalize.reference_image_id()
                                                         : std::string();
}

}  // namespace histeq::rpc
