// Slow twin of ComputeMapping.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "histeq/parameters.h"

namespace histeq::reference {

using Table = std::vector<uint32_t>;

// The tables of all histograms, one after the other.
std::vector<Table> Tables(const EqualizeParameters& parameters, const ImageShape& shape,
                          std::span<const uint64_t> counts);

// One table of largest + 1 entries each; the histogram has as many bins and is not empty.

// OpenCV's documentation of equalizeHist, in the arithmetic of its histogram.cpp:
// scale = float(largest) / (N - h[first]), entry = round(scale * (cdf(v) - h[first])).
Table GlobalTable(std::span<const uint64_t> histogram);

// Zuiderveld, Contrast Limited Adaptive Histogram Equalization, Graphics Gems IV (1994), with the
// clip limit and the redistribution of OpenCV's clahe.cpp.
std::vector<uint64_t> Clipped(std::span<const uint64_t> histogram, uint32_t clip_limit_q8);
Table ClaheTable(std::span<const uint64_t> histogram, uint32_t clip_limit_q8);

// Gonzalez & Woods 3.3, Histogram Matching (Specification): the smallest z with G(z) >= T(r).
// `target` has as many bins.
Table MatchTable(std::span<const uint64_t> histogram, std::span<const uint64_t> target);

// As MatchTable, to a density in floating point: may be off by one where a share falls between.
Table MatchTable(std::span<const uint64_t> histogram, Distribution distribution);

// Gonzalez & Woods 3.2, Contrast Stretching, from (low percentile, 0) to (high percentile,
// largest).
Table StretchTable(std::span<const uint64_t> histogram, uint32_t percentile_low_q4,
                   uint32_t percentile_high_q4);

}  // namespace histeq::reference
