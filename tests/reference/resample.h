#pragma once

// The slow, obviously correct twin of libs/resize: every sample of the result as a weighted mean in
// double.

#include <cstdint>
#include <vector>

namespace histeq::reference {

struct Resampling {
  uint32_t source_width = 0, source_height = 0;
  uint32_t channels = 1;
  bool has_alpha = false;
  uint32_t bits_per_sample = 8;
  double left = 0, top = 0, region_width = 0, region_height = 0;
  uint32_t width = 0, height = 0;
  bool linear_light = false;
};

// Interleaved samples in, interleaved samples out.
std::vector<uint16_t> Resample(const Resampling& spec, const std::vector<uint16_t>& samples);

}  // namespace histeq::reference
