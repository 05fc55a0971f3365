#pragma once

// Where an image is cut: a function of the image and its format alone (docs/adr/0003).

#include <cstdint>

#include "codec/encode_spec.h"
#include "codec/raster_layout.h"

namespace histeq::engine {

// A run of image rows. `first_row` and `rows` are multiples of codec::FragmentRowMultiple, but for
// the last segment's rows.
struct Segment {
  uint32_t index = 0;
  uint32_t first_row = 0;
  uint32_t rows = 0;
};

// Decoded samples of one segment, about; a segment of very wide rows is larger.
inline constexpr uint64_t kSegmentBytes = 4ull << 20;

class Plan {
 public:
  Plan() = default;
  Plan(uint32_t height, uint32_t segment_rows);

  uint32_t count() const { return count_; }
  Segment at(uint32_t index) const;

 private:
  uint32_t height_ = 0;
  uint32_t segment_rows_ = 0;
  uint32_t count_ = 0;
};

// `height` is at least 1. Changing what this returns changes the bytes of results.
Plan MakePlan(const codec::EncodeSpec& encode, const codec::RasterLayout& layout, uint32_t height);

}  // namespace histeq::engine
