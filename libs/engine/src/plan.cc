#include "engine/plan.h"

#include <algorithm>

namespace histeq::engine {

Plan::Plan(uint32_t height, uint32_t segment_rows)
    : height_(height),
      segment_rows_(std::max<uint32_t>(1, segment_rows)),
      count_(static_cast<uint32_t>((uint64_t{height} + segment_rows_ - 1) / segment_rows_)) {}

Segment Plan::at(uint32_t index) const {
  const uint32_t first = index * segment_rows_;
  return {.index = index, .first_row = first, .rows = std::min(segment_rows_, height_ - first)};
}

Plan MakePlan(const codec::EncodeSpec& encode, const codec::RasterLayout& layout, uint32_t height) {
  const uint64_t multiple = codec::FragmentRowMultiple(encode, layout);
  const uint64_t bytes = std::max<uint64_t>(1, codec::SegmentBytes(layout, multiple));
  const uint64_t rows = std::max<uint64_t>(1, kSegmentBytes / bytes) * multiple;
  return Plan(height, static_cast<uint32_t>(std::min<uint64_t>(rows, height)));
}

}  // namespace histeq::engine
