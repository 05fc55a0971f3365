#pragma once

// How decoded samples lie in memory.

#include <cstdint>
#include <vector>

#include "absl/status/status.h"

namespace histeq::codec {

// One plane. A segment holds the rows of plane 0, then those of plane 1, and so on, without gaps;
// 16-bit samples are little-endian.
struct PlaneLayout {
  // Pixels in a stored row, with and without the padding to whole blocks.
  uint32_t stored_width = 0;
  uint32_t visible_width = 0;
  // Interleaved samples per pixel, 1 to 4.
  uint32_t channels = 1;
  // 1 or 2.
  uint32_t bytes_per_sample = 1;
  // Rows of this plane for each max_vertical_sampling rows of the image.
  uint32_t vertical_sampling = 1;
};

struct RasterLayout {
  // 1 to 4. Only plane 0 is analyzed and mapped: gray, luma, or interleaved samples.
  std::vector<PlaneLayout> planes;
  uint32_t max_vertical_sampling = 1;
  // Image rows that cannot be divided: a row of MCUs; 1 for PNG.
  uint32_t unit_rows = 1;
  // The last channel of plane 0 is alpha.
  bool has_alpha = false;
};

// Bytes of a row of a plane.
uint64_t PlaneStride(const PlaneLayout& plane);

// Stored rows of a plane for `rows` image rows: padded to whole units.
uint64_t PlaneRows(const RasterLayout& layout, size_t plane, uint64_t rows);

// Where a plane begins in a segment of `rows` image rows, in bytes.
uint64_t PlaneOffset(const RasterLayout& layout, size_t plane, uint64_t rows);

// Bytes of a segment of `rows` image rows.
uint64_t SegmentBytes(const RasterLayout& layout, uint64_t rows);

// Rows of a plane that show something, for `rows` image rows that end at or before the image's end.
uint64_t VisiblePlaneRows(const RasterLayout& layout, size_t plane, uint64_t rows);

// Whether a layout from outside makes sense for an image of this size, so that the functions above
// cannot overflow. INVALID_ARGUMENT (INVALID_LAYOUT).
absl::Status ValidateLayout(const RasterLayout& layout, uint64_t width, uint64_t height);

}  // namespace histeq::codec
