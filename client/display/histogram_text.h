#pragma once

// Histograms and statistics as text.

#include <cstdint>
#include <string>
#include <vector>

#include "histeq/v1/image.pb.h"

namespace histeq::client {

// `counts` summed into `columns` equal parts of the value range, for a drawing; each becomes
// log(1 + n) when `logarithmic`. No counts: all 0.
std::vector<double> Columned(const v1::Histogram& histogram, size_t columns, bool logarithmic);

struct HistogramTextOptions {
  // 8 to 256.
  size_t columns = 64;
  size_t rows = 8;
  bool utf8 = false;
  bool logarithmic = false;
};

// A drawing of `rows` lines and one with the value range below.
std::string HistogramText(const v1::Histogram& histogram, const HistogramTextOptions& options);

// A table of the statistics, one line for each channel.
std::string StatisticsText(const v1::ImageStatistics& statistics);

}  // namespace histeq::client
