#pragma once

// What a decoder accepts. Everything is checked from the header, before anything is allocated.

#include <cstdint>

namespace histeq::codec {

struct DecodeLimits {
  // Width times height.
  uint64_t max_pixels = 1'000'000'000;
  // Width, and height. (JPEG itself ends at 65500.)
  uint32_t max_dimension = 1'000'000;
  // Scans of a progressive JPEG; each costs a pass over all coefficients.
  uint32_t max_jpeg_scans = 100;
  // Bytes before the first pixel, and ancillary data kept for the output.
  uint64_t max_metadata_bytes = 64ull << 20;
};

}  // namespace histeq::codec
