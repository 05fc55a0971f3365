#pragma once

// PNG's row filters, chosen per row.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace histeq::codec {

// Filters rows of one size. Not thread-safe.
class PngRowFilter {
 public:
  // `row_bytes` without the filter's byte; `pixel_bytes` is 1 to 8.
  PngRowFilter(size_t row_bytes, size_t pixel_bytes);

  // Writes the filter's number and the filtered row, row_bytes + 1 in all, to `out`. `above` is
  // null where the result must not depend on the row above. Of the filters, that one is taken whose
  // bytes, as signed numbers, have the smallest sum of magnitudes (the first of equals).
  void Filter(const uint8_t* row, const uint8_t* above, uint8_t* out);

 private:
  const size_t row_bytes_;
  const size_t pixel_bytes_;
  std::vector<uint8_t> best_;
  std::vector<uint8_t> candidate_;
};

}  // namespace histeq::codec
