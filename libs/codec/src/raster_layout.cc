#include "codec/raster_layout.h"

#include <fmt/format.h>

#include <string>

#include "base/error.h"

namespace histeq::codec {
namespace {

absl::Status Invalid(const std::string& what) {
  return base::MakeError(absl::StatusCode::kInvalidArgument, "the raster layout is wrong: " + what,
                         {.reason = "INVALID_LAYOUT", .field = "layout"});
}

}  // namespace

uint64_t PlaneStride(const PlaneLayout& plane) {
  return uint64_t{plane.stored_width} * plane.channels * plane.bytes_per_sample;
}

uint64_t PlaneRows(const RasterLayout& layout, size_t plane, uint64_t rows) {
  const uint64_t units = (rows + layout.unit_rows - 1) / layout.unit_rows;
  return units * layout.unit_rows * layout.planes[plane].vertical_sampling /
         layout.max_vertical_sampling;
}

uint64_t PlaneOffset(const RasterLayout& layout, size_t plane, uint64_t rows) {
  uint64_t offset = 0;
  for (size_t p = 0; p < plane; ++p)
    offset += PlaneRows(layout, p, rows) * PlaneStride(layout.planes[p]);
  return offset;
}

uint64_t SegmentBytes(const RasterLayout& layout, uint64_t rows) {
  return PlaneOffset(layout, layout.planes.size(), rows);
}

uint64_t VisiblePlaneRows(const RasterLayout& layout, size_t plane, uint64_t rows) {
  const uint64_t v = layout.planes[plane].vertical_sampling;
  return (rows * v + layout.max_vertical_sampling - 1) / layout.max_vertical_sampling;
}

absl::Status ValidateLayout(const RasterLayout& layout, uint64_t width, uint64_t height) {
  if (width < 1 || height < 1 || width > (1u << 30) || height > (1u << 30))
    return Invalid(fmt::format("an image of {}x{} pixels", width, height));
  if (width * height > (uint64_t{1} << 50))
    return Invalid(fmt::format("{} pixels", width * height));
  if (layout.planes.empty() || layout.planes.size() > 4)
    return Invalid(fmt::format("{} planes; allowed are 1 to 4", layout.planes.size()));
  if (layout.max_vertical_sampling < 1 || layout.max_vertical_sampling > 4)
    return Invalid(
        fmt::format("vertical sampling {}; allowed are 1 to 4", layout.max_vertical_sampling));
  if (layout.unit_rows < 1 || layout.unit_rows > 64 ||
      layout.unit_rows % layout.max_vertical_sampling != 0)
    return Invalid(fmt::format("a unit of {} rows", layout.unit_rows));
  for (const PlaneLayout& plane : layout.planes) {
    if (plane.channels < 1 || plane.channels > 4)
      return Invalid(fmt::format("{} channels; allowed are 1 to 4", plane.channels));
    if (plane.bytes_per_sample != 1 && plane.bytes_per_sample != 2)
      return Invalid(fmt::format("{} bytes a sample; allowed are 1 and 2", plane.bytes_per_sample));
    if (plane.vertical_sampling < 1 || plane.vertical_sampling > layout.max_vertical_sampling ||
        layout.unit_rows * plane.vertical_sampling % layout.max_vertical_sampling != 0)
      return Invalid(fmt::format("vertical sampling {} of {}", plane.vertical_sampling,
                                 layout.max_vertical_sampling));
    if (plane.visible_width < 1 || plane.visible_width > width ||
        plane.stored_width < plane.visible_width ||
        plane.stored_width > uint64_t{plane.visible_width} + 64)
      return Invalid(fmt::format("a plane of {} pixels in rows of {}, in an image {} wide",
                                 plane.visible_width, plane.stored_width, width));
  }
  if (layout.planes[0].visible_width != width ||
      layout.planes[0].vertical_sampling != layout.max_vertical_sampling)
    return Invalid("plane 0 is smaller than the image");
  if (layout.has_alpha && layout.planes[0].channels != 2 && layout.planes[0].channels != 4)
    return Invalid(fmt::format("alpha in {} channels", layout.planes[0].channels));
  return absl::OkStatus();
}

}  // namespace histeq::codec
