// The inner loops, one set for each instruction set. All sets give the same bits.
#ifndef HISTEQ_SRC_KERNELS_H_
#define HISTEQ_SRC_KERNELS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "float24.h"
#include "histeq/pixel_view.h"
#include "hwy/cache_control.h"
#include "layout.h"

namespace histeq::internal {

// Eight tables, so that equal neighbours do not wait for each other's counter.
struct Counter8 {
  alignas(64) uint32_t tables[8][256];
};

// No counter of 32 bits overflows before this many samples.
inline constexpr uint64_t kCounterLimit = uint64_t{1} << 31;

// Which number to take out of a pixel.
struct ExtractSpec {
  Plane plane;
  uint32_t channels;
  // The next two give 0 for the pixels they mean, and count them.
  bool skips_transparent;  // The last channel is 0.
  bool skips_nodata;       // The three colours equal `nodata`.
  uint32_t nodata;
  uint32_t largest;  // Luma and value take larger samples as this.
};

// How a changed luma or value goes back into a pixel.
struct CombineSpec {
  uint32_t channels;
  bool keeps_nodata;
  uint32_t nodata;
  uint32_t largest;
};

// Pixels of a row between the same two columns of tile centres.
struct Stretch {
  uint32_t count;
  uint32_t left;   // Tiles in their row of tiles.
  uint32_t right;  // The same as `left` beyond the outermost centres.
  uint32_t cell;   // In its row of cells, which lie between four centres each.
};

// What a row of CLAHE is looked up in.
template <typename Sample>
struct TableRow {
  // The tables above and below, `step` entries from tile to tile.
  const Sample* upper;
  const Sample* lower;
  // The same again for each cell, or null: upper left, lower left, upper right, lower right for
  // each value, `step` times these four from cell to cell. A pixel takes one load instead of four.
  const Sample* quads;
  size_t step;
  uint32_t weight_y;
};

// Weights of the interpolation are fractions below 1. 16-bit samples need finer ones, to stay
// within one of the exact value where neighbouring tables differ by all there is.
template <typename Sample>
struct Weights;
template <>
struct Weights<uint8_t> {
  using X = uint16_t;
  static constexpr uint32_t kBitsX = 15;
  static constexpr uint32_t kBitsY = 15;
};
template <>
struct Weights<uint16_t> {
  using X = uint32_t;
  static constexpr uint32_t kBitsX = 24;
  static constexpr uint32_t kBitsY = 16;
};

inline constexpr size_t kWeightsPadding = 64;

// `Sample` is uint8_t or uint16_t. Lengths are in pixels.
template <typename Sample>
struct SampleKernels {
  // Writes one number for each pixel; returns how many were skipped. `mask` may be null.
  size_t (*extract)(const ExtractSpec& spec, const Sample* pixels, const uint8_t* mask,
                    size_t count, Sample* out);
  // out[i] = table[in[i]]; in == out is allowed.
  void (*map)(const Sample* table, const Sample* in, size_t count, Sample* out);
  // Bilinear between four tables: down by `weight_y`, across by `weights_x[i]`. The stretches have
  // `count` pixels together; kWeightsPadding more weights may be read.
  void (*interpolate)(const TableRow<Sample>& row, const Stretch* stretches,
                      const typename Weights<Sample>::X* weights_x, const Sample* in, size_t count,
                      Sample* out);
  // Adds mapped[i] - luma[i] to the three colours.
  void (*add_luma)(const CombineSpec& spec, const Sample* in, const Sample* luma,
                   const Sample* mapped, size_t count, Sample* out);
  // Multiplies the three colours by mapped[i] / value[i]. `factors` may be null.
  void (*scale_value)(const CombineSpec& spec, const uint32_t* factors, const Sample* in,
                      const Sample* value, const Sample* mapped, size_t count, Sample* out);
  // Replaces one channel.
  void (*insert)(uint32_t channels, uint32_t channel, const Sample* plane, size_t count,
                 Sample* out);
};

struct Kernels {
  SampleKernels<uint8_t> bytes;
  SampleKernels<uint16_t> words;
  void (*count8)(const uint8_t* samples, size_t count, Counter8& counter);
  // Adds the counter to the histogram and clears it.
  void (*flush8)(Counter8& counter, uint64_t* histogram);
  // Many samples, two at a time: `pairs` holds 65536 counters. Single ones go to the histogram.
  void (*count_pairs8)(const uint8_t* samples, size_t count, uint32_t* pairs, uint64_t* histogram);
  void (*flush_pairs8)(uint32_t* pairs, uint64_t* histogram);
  // `tables` holds two tables of 65536.
  void (*count16)(const uint16_t* samples, size_t count, uint32_t* tables);
  void (*flush16)(uint32_t* tables, uint64_t* histogram);
};

// The set of the target in use.
Kernels ActiveKernels();

// Its parts, each from the file that holds its loops.
struct CountKernels {
  decltype(Kernels::count8) count8;
  decltype(Kernels::flush8) flush8;
  decltype(Kernels::count_pairs8) count_pairs8;
  decltype(Kernels::flush_pairs8) flush_pairs8;
  decltype(Kernels::count16) count16;
  decltype(Kernels::flush16) flush16;
};
CountKernels ActiveCountKernels();

struct MapKernels {
  decltype(SampleKernels<uint8_t>::map) bytes;
  decltype(SampleKernels<uint16_t>::map) words;
};
MapKernels ActiveMapKernels();

struct InterpolateKernels {
  decltype(SampleKernels<uint8_t>::interpolate) bytes;
  decltype(SampleKernels<uint16_t>::interpolate) words;
};
InterpolateKernels ActiveInterpolateKernels();

struct ColorKernels {
  SampleKernels<uint8_t> bytes;  // Without map and interpolate.
  SampleKernels<uint16_t> words;
};
ColorKernels ActiveColorKernels();

// How a clipped histogram is spread: the same for all bins, and one each at even steps.
struct Spread {
  uint64_t limit;
  uint64_t each;
  uint64_t step;
  uint64_t left;
  // Where the first one of `left` goes.
  uint64_t next;
};

inline Spread SpreadOf(uint64_t limit, uint64_t excess, uint64_t bins) {
  const uint64_t left = excess % bins;
  return {limit, excess / bins, left == 0 || bins / left == 0 ? 1 : bins / left, left,
          left == 0 ? UINT64_MAX : 0};
}

// Bins that are looked at together.
inline constexpr uint64_t kBlockBins = 16;

// Tables of CLAHE, in whole blocks of bins.
struct TileKernels {
  // Fills the sums of all blocks; returns the sum of all counts.
  uint64_t (*sum_blocks)(const uint64_t* counts, uint64_t bins, uint64_t* block_sums);
  // What is above `limit`, all together.
  uint64_t (*excess)(const uint64_t* counts, uint64_t bins, const uint64_t* block_sums,
                     uint64_t limit);
  // Clips, spreads, sums up and scales. The sum of all counts is below 2^24.
  void (*sum_up)(const Spread& spread, const ScaledSums& scaled, uint64_t bins,
                 const uint64_t* counts, const uint64_t* block_sums, uint16_t* table);
};
TileKernels ActiveTileKernels();

// Rows of a narrow part of a picture lie too far apart for the processor to see the next one come.
inline void PrefetchRow(const void* row, size_t bytes) {
  constexpr size_t kCacheLine = 64;
  constexpr size_t kMost = 4096;
  const auto* begin = static_cast<const uint8_t*>(row);
  for (size_t at = 0; at < std::min(bytes, kMost); at += kCacheLine) hwy::Prefetch(begin + at);
}

// Lets HISTEQ_TARGET choose; before the first dispatch.
void UseEnvironment();

template <typename Sample>
const SampleKernels<Sample>& KernelsFor(const Kernels& kernels);
template <>
inline const SampleKernels<uint8_t>& KernelsFor<uint8_t>(const Kernels& kernels) {
  return kernels.bytes;
}
template <>
inline const SampleKernels<uint16_t>& KernelsFor<uint16_t>(const Kernels& kernels) {
  return kernels.words;
}

// Pixels out of planes: writes `count` of them from column x of the row on.
template <typename Sample>
void Interleave(const SampleKernels<Sample>& kernels, std::span<const ConstRows> planes,
                uint32_t row, size_t x, size_t count, Sample* pixels) {
  const auto channels = static_cast<uint32_t>(planes.size());
  for (uint32_t channel = 0; channel < channels; ++channel) {
    kernels.insert(channels, channel, planes[channel].Row<Sample>(row) + x, count, pixels);
  }
}

}  // namespace histeq::internal

#endif  // HISTEQ_SRC_KERNELS_H_
