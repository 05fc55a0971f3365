// Compares libs/histeq with its slow twins on every target of this processor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "histeq/parameters.h"
#include "histeq_image.h"

namespace histeq::differential {

// How the picture lies in memory.
struct Layout {
  // Bytes between rows beyond the row, and bytes before the first; whole samples are made of them.
  uint32_t gap = 0;
  uint32_t offset = 0;
  // Whether the last row comes first.
  bool upside_down = false;
  // Whether the result is written over the source.
  bool in_place = false;
};

struct Case {
  EqualizeParameters parameters;
  reference::Image image;
  Layout layout;
  // Rows at which segments begin, beside 0; in any order, also beyond the image.
  std::vector<uint32_t> cuts;
};

// A case with parameters in range, made of any bytes; no more than a few thousand pixels.
Case CaseOf(std::span<const uint8_t> bytes);

// What the parameters and the shape are, in a line.
std::string Describe(const Case& c);

// The first difference found, in words; empty when there is none. Looked at, on every target:
// counts of the whole, counts of segments merged in reverse, the tables, the tables sent as bytes,
// the result of the whole, of segments and of planes, and the bytes around the result. All targets
// must give the same bytes; the twins' bytes too, except by one where bilinear interpolation
// (kClahe) or densities (kGaussian, kRayleigh) are rounded.
std::string Difference(const Case& c);

}  // namespace histeq::differential
