#pragma once

// What an image's samples are like, for people and for matching.

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "codec/image_info.h"

namespace histeq::engine {

// Numbers as in histeq.v1.ImageStatistics.Channel.
enum class StatisticsChannel { kGray = 1, kLuma = 2, kRed = 3, kGreen = 4, kBlue = 5 };

struct ChannelStatistics {
  StatisticsChannel channel = StatisticsChannel::kGray;
  // 256 or 65536 counts.
  std::vector<uint64_t> histogram;
  uint32_t minimum = 0;
  uint32_t maximum = 0;
  double mean = 0;
  double standard_deviation = 0;
  double entropy_bits = 0;
  // Values at 1, 5, 25, 50, 75, 95 and 99 %.
  std::vector<uint32_t> percentiles;
};

struct ImageStatistics {
  // 8 or 16; smaller depths are widened to 8.
  uint32_t bits_per_sample = 8;
  uint64_t counted_pixels = 0;
  // Fully transparent ones.
  uint64_t skipped_pixels = 0;
  // Gray alone; or luma, red, green, blue.
  std::vector<ChannelStatistics> channels;
};

}  // namespace histeq::engine
