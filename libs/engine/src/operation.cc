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

absl::Status CheckSize(const EqualizeParameters& parameters, const ImageShape& shape) {
  const uint64_t bytes =
      std::max(Statistics::BytesFor(parameters, shape), Mapping::BytesFor(parameters, shape));
  if (bytes <= kMaxStatisticsBytes) return absl::OkStatus();
  const uint64_t tiles = uint64_t{parameters.grid_x} * parameters.grid_y;
  const uint64_t most = kMaxStatisticsBytes / (bytes / std::max<uint64_t>(1, tiles));
  return base::MakeError(
      absl::StatusCode::kInvalidArgument,
      fmt::format(
          "equalize.grid_x: a grid of {}x{} tiles needs {} MiB for this image's histograms; "
          "allowed are {} MiB, which is {} tiles",
          parameters.grid_x, parameters.grid_y, bytes >> 20, kMaxStatisticsBytes >> 20, most),
      {.reason = "BAD_PARAMETER",
       .metadata = {{"limit", fmt::format("{} tiles", most)}, {"actual", std::to_string(tiles)}},
       .field = "operation.equalize.grid_x"});
}

}  // namespace

absl::Status CheckOperationForShape(const Operation& operation, const ImageShape& shape) {
  if (operation.kind == Operation::Kind::kAnalyze) return absl::OkStatus();
  if (operation.kind != Operation::Kind::kEqualize)
    return BadParameter("kind", "equalize, analyze");
  const EqualizeParameters& parameters = operation.equalize;
  if (const std::optional<ParameterProblem> problem = FindProblem(parameters, shape)) {
    std::string name = problem->field;
    if (name == "reference")
      name = operation.reads_reference ? "reference_image_id" : "reference_histogram";
    return BadParameter("equalize." + name, problem->allowed);
  }
  return CheckSize(parameters, shape);
}

absl::Status CheckOperation(const Operation& operation, const codec::ImageInfo& info) {
  const ImageShape shape = DecodedShape(operation, info);
  if (operation.reads_reference && operation.equalize.reference.empty()) {
    if (operation.equalize.method != Method::kMatch)
      return BadParameter("equalize.reference_image_id", "none, unless the method is match");
    if (operation.equalize.distribution != Distribution::kNone)
      return BadParameter("equalize.reference_image_id",
                          "exactly one of a reference image and a target distribution");
    // The rest is checked as if the histogram were there already.
    Operation filled = operation;
    filled.equalize.distribution = Distribution::kUniform;
    return CheckOperationForShape(filled, shape);
  }
  return CheckOperationForShape(operation, shape);
}

codec::SampleMode SampleModeFor(const Operation& operation) {
  if (operation.kind == Operation::Kind::kEqualize && operation.equalize.color == Color::kLuma)
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
