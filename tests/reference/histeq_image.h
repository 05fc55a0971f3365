// A picture for the slow twins of libs/histeq: one number a sample, whatever its depth.
#pragma once

#include <cstdint>
#include <vector>

#include "histeq/parameters.h"

namespace histeq::reference {

struct Image {
  ImageShape shape;
  // Interleaved, rows without gaps.
  std::vector<uint32_t> samples;
  // One number a pixel, 0 where the pixel does not count; empty: all count.
  std::vector<uint8_t> mask;

  const uint32_t* Pixel(uint64_t x, uint64_t y) const {
    return samples.data() + (y * shape.width + x) * shape.channels;
  }
  uint32_t* Pixel(uint64_t x, uint64_t y) {
    return samples.data() + (y * shape.width + x) * shape.channels;
  }
};

}  // namespace histeq::reference
