#pragma once

// One direction of a resampling, as zimg is asked for it.

#include <cstdint>

namespace histeq::resize {

struct Axis {
  // Whether anything is to be done.
  bool changes = false;
  // Samples of the source that are kept: [first, first + count).
  uint32_t first = 0;
  uint32_t count = 0;
  // How often they stand one after the other, every second time mirrored; odd.
  uint32_t copies = 1;
  // What zimg gets: samples, samples of the result, and the part of the source that these are.
  uint32_t source = 0;
  uint32_t target = 0;
  double begin = 0;
  double length = 0;
  // Where the wanted samples begin in zimg's result.
  uint32_t margin = 0;
};

// `whole`: every sample is kept, also those that no result needs. zimg reflects at the borders, but
// once only, and refuses (or, in older versions, reads out of its bounds) where its filter is wider
// than the source or than the part of it. There the source is laid out several times, and more of
// it is resampled than is wanted.
Axis MakeAxis(uint32_t source, double begin, double length, uint32_t target, bool whole);

// Calls place(position) for all places that a kept sample (0 to count - 1) stands at.
template <typename F>
void ForEachCopy(const Axis& axis, uint32_t index, const F& place) {
  for (uint32_t copy = 0; copy < axis.copies; ++copy) {
    const bool mirrored = (copy + axis.copies / 2) % 2 != 0;
    place(copy * axis.count + (mirrored ? axis.count - 1 - index : index));
  }
}

}  // namespace histeq::resize
