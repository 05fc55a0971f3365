#include "block_average.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace histeq::resize {
namespace {

constexpr double kLeftForEach = 256;

uint32_t Blocks(uint32_t samples, uint32_t side) { return (samples - 1) / side + 1; }

}  // namespace

uint32_t BlockSide(double length, uint32_t target) {
  return static_cast<uint32_t>(std::max(1.0, std::floor(length / target / kLeftForEach)));
}

BlockAverage::BlockAverage(uint32_t source_width, uint32_t source_height, uint32_t planes,
                           uint32_t across, uint32_t down)
    : source_width_(source_width),
      source_height_(source_height),
      planes_(planes),
      across_(across),
      down_(down),
      width_(Blocks(source_width, across)),
      height_(Blocks(source_height, down)),
      samples_(size_t{source_width} * planes),
      means_(size_t{width_} * planes),
      sums_(size_t{width_} * planes) {}

bool BlockAverage::Push(const std::function<void(std::span<uint16_t* const> planes)>& fill) {
  std::array<uint16_t*, 4> rows{};
  for (uint32_t p = 0; p < planes_; ++p) rows[p] = samples_.data() + size_t{p} * source_width_;
  fill(std::span(rows).first(planes_));
  for (uint32_t p = 0; p < planes_; ++p) {
    uint64_t* const sums = sums_.data() + size_t{p} * width_;
    const uint16_t* sample = rows[p];
    for (uint32_t block = 0; block < width_; ++block) {
      const uint32_t count = std::min(across_, source_width_ - block * across_);
      uint64_t sum = 0;
      for (uint32_t i = 0; i < count; ++i) sum += *sample++;
      sums[block] += sum;
    }
  }
  ++summed_rows_;
  if (++pushed_rows_ % down_ != 0 && pushed_rows_ != source_height_) return false;
  for (uint32_t p = 0; p < planes_; ++p) {
    for (uint32_t block = 0; block < width_; ++block) {
      const size_t at = size_t{p} * width_ + block;
      const uint64_t count =
          uint64_t{std::min(across_, source_width_ - block * across_)} * summed_rows_;
      means_[at] = static_cast<uint16_t>((sums_[at] + count / 2) / count);
    }
  }
  std::fill(sums_.begin(), sums_.end(), 0);
  summed_rows_ = 0;
  return true;
}

std::span<const uint16_t> BlockAverage::Row(uint32_t plane) const {
  return {means_.data() + size_t{plane} * width_, width_};
}

}  // namespace histeq::resize
