#pragma once

// Samples as 16-bit levels. An 8-bit sample gets 30 % of room on both sides, so that what a
// filter's lobes add in the first direction (27 % at most) is not cut off before the second takes
// it back; 16-bit samples need all levels.

#include <algorithm>
#include <cstdint>

namespace histeq::resize {

struct Levels {
  uint32_t offset;
  uint32_t range;
  // Greatest sample.
  uint32_t greatest;
};

inline constexpr Levels kLevels8 = {12368, 160 * 255, 255};
inline constexpr Levels kLevels16 = {0, 65535, 65535};

constexpr const Levels& LevelsOf(uint32_t bits_per_sample) {
  return bits_per_sample == 16 ? kLevels16 : kLevels8;
}

// 0 to range.
constexpr uint32_t Clamped(const Levels& levels, uint32_t level) {
  return std::clamp(level, levels.offset, levels.offset + levels.range) - levels.offset;
}

}  // namespace histeq::resize
