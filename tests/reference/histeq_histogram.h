// Slow twin of AccumulateRows, SummaryOf and PercentileOf.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "histeq/statistics.h"
#include "histeq_image.h"

namespace histeq::reference {

// The whole image's histograms, one after the other in the order of Statistics::words(). Definition
// of a histogram: Gonzalez & Woods, Digital Image Processing, 4th ed., 3.3: h(r_k) = n_k. Tiles and
// their padding: OpenCV's createCLAHE.
std::vector<uint64_t> Count(const EqualizeParameters& parameters, const Image& image);

// Gonzalez & Woods 3.3, equations 3-24 and 3-25 (mean, variance), and 8.1 (entropy).
Summary Summarize(std::span<const uint64_t> histogram);

// The nearest-rank percentile, from a sorted list of all samples. Small counts only.
uint32_t Percentile(std::span<const uint64_t> histogram, uint32_t percentile_q4);

}  // namespace histeq::reference
