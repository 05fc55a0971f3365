#include "engine/operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/status_macros.h"
#include "histeq/mapping.h"
#include "histeq/statistics.h"
#include "operation_check.h"

namespace histeq::engine {
namespace {

absl::Status BadParameter(const std::string& name, const std::string& allowed) {
  return base::MakeError(
      absl::StatusCode::kInvalidArgument, fmt::format("{}: allowed is {}", name, allowed),
      {.reason = "BAD_PARAMETER", .metadata = {{"limit", allowed}}, .field = "operation." + name});
}

// The samples that decoding will give. A palette may have alpha that the header does not count.
ImageShape DecodedShape(const Operation& operation, const codec::ImageInfo& info) {
  ImageShape shape;
  shape.width = info.width;
  shape.height = info.height;
  shape.bits_per_sample = info.bits_per_sample == 16 ? 16 : 8;
  shape.has_alpha = info.has_alpha;
  if (info.format == codec::ImageFormat::kJpeg) {
    const bool luma_plane =
        SampleModeFor(operation) == codec::SampleMode::kRawPlanes && info.channels == 3;
    shape.channels = info.channels == 1 || luma_plane ? 1 : 3;
    shape.has_alpha = false;
  } else {
    const uint32_t colors = info.channels <= 2 ? 1 : 3;
    shape.channels = colors + (info.has_alpha ? 1 : 0);
  }
  return shape;
}

absl::Status CheckSize(const EqualizeParameters& parameters, const ImageShape& shape,
                       const std::string& prefix) {
  const uint64_t bytes =
      std::max(Statistics::BytesFor(parameters, shape), Mapping::BytesFor(parameters, shape));
  if (bytes <= kMaxStatisticsBytes) return absl::OkStatus();
  const uint64_t tiles = uint64_t{parameters.grid_x} * parameters.grid_y;
  const uint64_t most = kMaxStatisticsBytes / (bytes / std::max<uint64_t>(1, tiles));
  return base::MakeError(
      absl::StatusCode::kInvalidArgument,
      fmt::format("{}grid_x: a grid of {}x{} tiles needs {} MiB for this image's histograms; "
                  "allowed are {} MiB, which is {} tiles",
                  prefix, parameters.grid_x, parameters.grid_y, bytes >> 20,
                  kMaxStatisticsBytes >> 20, most),
      {.reason = "BAD_PARAMETER",
       .metadata = {{"limit", fmt::format("{} tiles", most)}, {"actual", std::to_string(tiles)}},
       .field = "operation." + prefix + "grid_x"});
}

// "derive.thumbnails[2].width"
std::string ThumbnailField(const Operation& operation, size_t index, const std::string& name) {
  return operation.kind == Operation::Kind::kThumbnail
             ? "thumbnail." + name
             : fmt::format("derive.thumbnails[{}].{}", index, name);
}

absl::Status OutOfRange(const std::string& name, const std::string& allowed, uint64_t actual) {
  return base::MakeError(absl::StatusCode::kInvalidArgument,
                         fmt::format("{} is {}; allowed is {}", name, actual, allowed),
                         {.reason = "BAD_PARAMETER",
                          .metadata = {{"limit", allowed}, {"actual", std::to_string(actual)}},
                          .field = "operation." + name});
}

absl::Status CheckThumbnails(const Operation& operation) {
  const std::vector<ThumbnailParameters>& all = operation.thumbnails;
  const bool one = operation.kind == Operation::Kind::kThumbnail;
  const uint32_t most = one ? 1 : kMaxThumbnails;
  if (all.empty() || all.size() > most)
    return OutOfRange(one ? "thumbnail" : "derive.thumbnails",
                      one ? "one" : fmt::format("1 to {} thumbnails", most), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    const ThumbnailParameters& parameters = all[i];
    const auto field = [&](const std::string& name) { return ThumbnailField(operation, i, name); };
    const std::string sizes = fmt::format("1 to {}", kMaxThumbnailDimension);
    if (parameters.width < 1 || parameters.width > kMaxThumbnailDimension)
      return OutOfRange(field("width"), sizes, parameters.width);
    if (parameters.height < 1 || parameters.height > kMaxThumbnailDimension)
      return OutOfRange(field("height"), sizes, parameters.height);
    if (parameters.fit < ThumbnailParameters::Fit::kInside ||
        parameters.fit > ThumbnailParameters::Fit::kExact)
      return OutOfRange(field("fit"), "inside, cover, exact",
                        static_cast<uint64_t>(parameters.fit));
    if (parameters.format.has_value() && *parameters.format != codec::ImageFormat::kJpeg &&
        *parameters.format != codec::ImageFormat::kPng)
      return OutOfRange(field("format"), "jpeg, png", static_cast<uint64_t>(*parameters.format));
    if (parameters.quality < 1 || parameters.quality > 100)
      return OutOfRange(field("quality"), "1 to 100", parameters.quality);
    if (parameters.background > 0xffffff)
      return OutOfRange(field("background"), "0 to 16777215 (0xRRGGBB)", parameters.background);
    for (size_t before = 0; before < i; ++before)
      if (all[before] == parameters)
        return base::MakeError(
            absl::StatusCode::kInvalidArgument,
            fmt::format("derive.thumbnails[{}] is the same as [{}]; no two may be alike", i,
                        before),
            {.reason = "BAD_PARAMETER",
             .metadata = {{"limit", "no two alike"}},
             .field = fmt::format("operation.derive.thumbnails[{}]", i)});
  }
  return absl::OkStatus();
}

}  // namespace

bool MakesThumbnails(const Operation& operation) {
  return operation.kind == Operation::Kind::kThumbnail ||
         operation.kind == Operation::Kind::kDerive;
}

bool Equalizes(const Operation& operation) {
  return operation.kind == Operation::Kind::kEqualize ||
         (operation.kind == Operation::Kind::kDerive && operation.equalizes);
}

uint32_t ResultCount(const Operation& operation) {
  const size_t thumbnails = MakesThumbnails(operation) ? operation.thumbnails.size() : 0;
  return static_cast<uint32_t>(thumbnails) + (Equalizes(operation) ? 1 : 0);
}

absl::Status CheckOperationForShape(const Operation& operation, const ImageShape& shape) {
  if (operation.kind == Operation::Kind::kAnalyze) return absl::OkStatus();
  if (MakesThumbnails(operation)) HISTEQ_RETURN_IF_ERROR(CheckThumbnails(operation));
  if (!Equalizes(operation)) {
    if (MakesThumbnails(operation)) return absl::OkStatus();
    return BadParameter("kind", "equalize, thumbnail, derive, analyze");
  }
  const std::string prefix =
      operation.kind == Operation::Kind::kDerive ? "derive.equalize." : "equalize.";
  const EqualizeParameters& parameters = operation.equalize;
  if (const std::optional<ParameterProblem> problem = FindProblem(parameters, shape)) {
    std::string name = problem->field;
    if (name == "reference")
      name = operation.reads_reference ? "reference_image_id" : "reference_histogram";
    return BadParameter(prefix + name, problem->allowed);
  }
  return CheckSize(parameters, shape, prefix);
}

absl::Status CheckOperation(const Operation& operation, const codec::ImageInfo& info) {
  const ImageShape shape = DecodedShape(operation, info);
  if (operation.reads_reference && operation.equalize.reference.empty()) {
    const std::string field = operation.kind == Operation::Kind::kDerive
                                  ? "derive.equalize.reference_image_id"
                                  : "equalize.reference_image_id";
    if (operation.equalize.method != Method::kMatch)
      return BadParameter(field, "none, unless the method is match");
    if (operation.equalize.distribution != Distribution::kNone)
      return BadParameter(field, "exactly one of a reference image and a target distribution");
    // The rest is checked as if the histogram were there already.
    Operation filled = operation;
    filled.equalize.distribution = Distribution::kUniform;
    return CheckOperationForShape(filled, shape);
  }
  return CheckOperationForShape(operation, shape);
}

codec::SampleMode SampleModeFor(const Operation& operation) {
  if (Equalizes(operation) && operation.equalize.color == Color::kLuma)
    return codec::SampleMode::kRawPlanes;
  if (operation.kind == Operation::Kind::kAnalyze) return codec::SampleMode::kInterleavedYCbCr;
  return codec::SampleMode::kInterleaved;
}

ImageShape ShapeOf(const codec::RasterLayout& layout, uint32_t height) {
  const codec::PlaneLayout& plane = layout.planes[0];
  return {.width = plane.visible_width,
          .height = height,
          .channels = plane.channels,
          .has_alpha = layout.has_alpha,
          .bits_per_sample = plane.bytes_per_sample * 8};
}

}  // namespace histeq::engine
