// Rows of interleaved samples in somebody else's memory.
#ifndef HISTEQ_PIXEL_VIEW_H_
#define HISTEQ_PIXEL_VIEW_H_

#include <cstddef>
#include <cstdint>

namespace histeq {

// Rows to read. Width, channels and depth come from the ImageShape that goes with them. The memory
// stays the caller's.
struct ConstRows {
  // First sample of the first row; native-endian, aligned to the sample's size.
  const void* data = nullptr;
  // From one row to the next, in bytes; may be negative. A multiple of the sample's size.
  ptrdiff_t stride_bytes = 0;
  uint32_t rows = 0;

  template <typename Sample>
  const Sample* Row(uint32_t row) const {
    return reinterpret_cast<const Sample*>(static_cast<const uint8_t*>(data) +
                                           static_cast<ptrdiff_t>(row) * stride_bytes);
  }
};

// Rows to write; as ConstRows.
struct Rows {
  void* data = nullptr;
  ptrdiff_t stride_bytes = 0;
  uint32_t rows = 0;

  template <typename Sample>
  Sample* Row(uint32_t row) const {
    return reinterpret_cast<Sample*>(static_cast<uint8_t*>(data) +
                                     static_cast<ptrdiff_t>(row) * stride_bytes);
  }
};

}  // namespace histeq

#endif  // HISTEQ_PIXEL_VIEW_H_
