#pragma once

// Blocks of samples to their means: the first step of reductions by many hundreds. The filter of
// what is left is short then; zimg takes time with the square of a filter's width to make it, and
// rounds coefficients to 1/16384, which hardly leaves anything of one that is thousands wide.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace histeq::resize {

class BlockAverage {
 public:
  // Rows of `source_width` samples in each of `planes` planes; blocks of `across` by `down`
  // samples, of which those at the right and the lower border may have less.
  BlockAverage(uint32_t source_width, uint32_t source_height, uint32_t planes, uint32_t across,
               uint32_t down);

  // Of the result.
  uint32_t width() const { return width_; }
  uint32_t height() const { return height_; }

  // The next row of the source, which `fill` writes. True when it was the last of a row of blocks,
  // which Row() then gives until the next call.
  bool Push(const std::function<void(std::span<uint16_t* const> planes)>& fill);
  std::span<const uint16_t> Row(uint32_t plane) const;

 private:
  const uint32_t source_width_;
  const uint32_t source_height_;
  const uint32_t planes_;
  const uint32_t across_;
  const uint32_t down_;
  const uint32_t width_;
  const uint32_t height_;
  // One row of each plane, of the source and of the result.
  std::vector<uint16_t> samples_;
  std::vector<uint16_t> means_;
  // At most 10^12 samples of 16 bits in one: far below 2^64.
  std::vector<uint64_t> sums_;
  uint32_t summed_rows_ = 0;
  uint32_t pushed_rows_ = 0;
};

// The side of blocks, in one direction, where `length` samples become `target`: 1 for none; else
// 256 blocks or more are left for each sample of the result, so that the mean takes less than
// 0.00001 of the frequencies which the result keeps.
uint32_t BlockSide(double length, uint32_t target);

}  // namespace histeq::resize
