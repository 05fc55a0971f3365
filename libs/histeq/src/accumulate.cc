// AccumulateRows: which pixels are counted into which histogram.
#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "histeq/equalize.h"
#include "kernels.h"

namespace histeq {
namespace {

using internal::Counter8;
using internal::ExtractSpec;
using internal::Grid;
using internal::Kernels;
using internal::Plane;

// Pixels that are taken out of their rows at a time; fits into the first-level cache.
constexpr size_t kChunkPixels = 4096;
// The same where planes are first interleaved.
constexpr size_t kPlanarChunkPixels = 1024;
// Below this, clearing and adding up several tables costs more than they save.
constexpr uint64_t kSmallRegion8 = 2048;

struct Region {
  uint32_t x;
  uint32_t width;
  uint32_t row;  // Within the rows at hand.
  uint32_t rows;
};

struct Source {
  const ImageShape& shape;
  // One for each channel of a planar picture, else one.
  std::span<const ConstRows> planes;
  ConstRows mask;  // No data: everything counts.
  ExtractSpec extract;
  // Whether pixels are the numbers to count.
  bool direct;
};

// Where counts go: straight into the histogram, or by way of more counters.
class Counter {
 public:
  Counter(const Kernels& kernels, uint64_t* histogram, std::span<uint32_t> scratch, uint64_t pixels,
          bool deep)
      : kernels_(kernels), histogram_(histogram), scratch_(scratch.data()) {
    large_ = pixels >= internal::kLargeRegion && !scratch.empty();
    spread_ = !large_ && !deep && pixels >= kSmallRegion8;
    if (spread_) std::memset(&counter_, 0, sizeof(counter_));
  }

  void Add(const uint8_t* samples, size_t count) {
    Reserve<uint8_t>(count);
    if (large_) return kernels_.count_pairs8(samples, count, scratch_, histogram_);
    if (spread_) return kernels_.count8(samples, count, counter_);
    AddPlain(samples, count);
  }

  void Add(const uint16_t* samples, size_t count) {
    Reserve<uint16_t>(count);
    if (large_) return kernels_.count16(samples, count, scratch_);
    AddPlain(samples, count);
  }

  template <typename Sample>
  void Flush() {
    if (spread_) kernels_.flush8(counter_, histogram_);
    if (!large_) return;
    if constexpr (sizeof(Sample) == 1) {
      kernels_.flush_pairs8(scratch_, histogram_);
    } else {
      kernels_.flush16(scratch_, histogram_);
    }
  }

 private:
  template <typename Sample>
  void AddPlain(const Sample* samples, size_t count) {
    for (size_t i = 0; i < count; ++i) ++histogram_[samples[i]];
  }

  template <typename Sample>
  void Reserve(size_t count) {
    if (pending_ + count > internal::kCounterLimit) {
      Flush<Sample>();
      pending_ = 0;
    }
    pending_ += count;
  }

  const Kernels& kernels_;
  uint64_t* histogram_;
  uint32_t* scratch_;
  bool large_ = false;   // By way of the counters of Statistics.
  bool spread_ = false;  // By way of `counter_`.
  uint64_t pending_ = 0;
  Counter8 counter_;
};

// Calls count_pixels(pixels, done, count) with interleaved pixels for the whole width of the
// region.
template <typename Sample, typename CountPixels>
void CountPlanarRow(const Kernels& kernels, const Source& source, const Region& region,
                    uint32_t row, const CountPixels& count_pixels) {
  alignas(64) std::array<Sample, 4 * kPlanarChunkPixels> pixels{};
  for (size_t done = 0; done < region.width; done += kPlanarChunkPixels) {
    const size_t count = std::min<size_t>(kPlanarChunkPixels, region.width - done);
    internal::Interleave(internal::KernelsFor<Sample>(kernels), source.planes, row, region.x + done,
                         count, pixels.data());
    count_pixels(pixels.data(), done, count);
  }
}

template <typename Sample>
void CountRegion(const Kernels& kernels, const Source& source, const Region& region,
                 std::span<uint32_t> scratch, uint64_t* histogram) {
  if (region.width == 0 || region.rows == 0) return;
  Counter counter(kernels, histogram, scratch, uint64_t{region.width} * region.rows,
                  sizeof(Sample) == 2);
  alignas(64) std::array<Sample, kChunkPixels> chunk;
  uint64_t skipped = 0;
  for (uint32_t row = region.row; row < region.row + region.rows; ++row) {
    if (source.direct) {
      if (region.width < source.shape.width && row + 1 < region.row + region.rows) {
        internal::PrefetchRow(source.planes[0].Row<Sample>(row + 1) + region.x,
                              region.width * sizeof(Sample));
      }
      counter.Add(source.planes[0].Row<Sample>(row) + region.x, region.width);
      continue;
    }
    const uint8_t* mask =
        source.mask.data == nullptr ? nullptr : source.mask.Row<uint8_t>(row) + region.x;
    const auto count_pixels = [&](const Sample* pixels, size_t done, size_t count) {
      skipped += internal::KernelsFor<Sample>(kernels).extract(
          source.extract, pixels, mask == nullptr ? nullptr : mask + done, count, chunk.data());
      counter.Add(chunk.data(), count);
    };
    if (source.planes.size() > 1) {
      CountPlanarRow<Sample>(kernels, source, region, row, count_pixels);
      continue;
    }
    const size_t channels = source.shape.channels;
    const Sample* pixels = source.planes[0].Row<Sample>(row) + region.x * channels;
    for (size_t done = 0; done < region.width; done += kChunkPixels) {
      count_pixels(pixels + done * channels, done,
                   std::min<size_t>(kChunkPixels, region.width - done));
    }
  }
  counter.Flush<Sample>();
  // Skipped pixels were counted as black.
  histogram[0] -= skipped;
}

// Calls count(tile, region) for every region of the rows at hand, the reflected ones included.
template <typename Count>
void ForEachTile(const Grid& grid, uint32_t first_row, uint32_t rows, const Count& count) {
  const auto count_rows = [&](uint32_t tile_row, uint32_t row, uint32_t row_count) {
    for (uint32_t column = 0; column < grid.x.tiles; ++column) {
      const uint32_t begin = std::min(column * grid.x.tile, grid.x.size);
      const uint32_t end = std::min(begin + grid.x.tile, grid.x.size);
      count(tile_row * grid.x.tiles + column, Region{begin, end - begin, row, row_count});
    }
    for (uint32_t x = grid.x.size; x < grid.x.padded; ++x) {
      count(tile_row * grid.x.tiles + x / grid.x.tile,
            Region{internal::Reflect(x, grid.x.size), 1, row, row_count});
    }
  };
  const uint32_t last = first_row + rows;
  for (uint32_t y = first_row; y < last;) {
    const uint32_t tile_row = y / grid.y.tile;
    const uint32_t end = std::min(last, (tile_row + 1) * grid.y.tile);
    count_rows(tile_row, y - first_row, end - y);
    y = end;
  }
  for (uint32_t y = grid.y.size; y < grid.y.padded; ++y) {
    const uint32_t row = internal::Reflect(y, grid.y.size);
    if (row >= first_row && row < last) count_rows(y / grid.y.tile, row - first_row, 1);
  }
}

template <typename Sample>
void Accumulate(const EqualizeParameters& parameters, const ImageShape& shape,
                std::span<const ConstRows> sources, ConstRows mask, uint32_t first_row,
                Statistics& statistics) {
  const uint32_t rows = sources[0].rows;
  const Kernels kernels = internal::ActiveKernels();
  const uint32_t values = SampleValues(shape);
  const uint32_t planes = internal::PlaneCount(parameters, shape);
  uint64_t* words = statistics.mutable_words().data();
  for (uint32_t index = 0; index < planes; ++index) {
    const Plane plane = internal::PlaneAt(parameters, shape, index);
    const bool skips_nodata = parameters.has_nodata && internal::IsMixed(plane);
    const Source source{shape,
                        sources,
                        mask,
                        {plane, shape.channels, shape.has_alpha, skips_nodata, parameters.nodata,
                         LargestSample(parameters, shape)},
                        shape.channels == 1 && mask.data == nullptr};
    const auto count = [&](uint32_t tile, const Region& region) {
      CountRegion<Sample>(kernels, source, region, statistics.scratch(),
                          words + (uint64_t{tile} * planes + index) * values);
    };
    if (parameters.method == Method::kClahe) {
      ForEachTile(internal::GridOf(parameters, shape), first_row, rows, count);
    } else {
      count(0, Region{0, shape.width, 0, rows});
    }
  }
  if (parameters.has_nodata && !internal::IsMixed(internal::PlaneAt(parameters, shape, 0))) {
    const uint64_t tables = internal::TableCount(parameters, shape);
    for (uint64_t table = 0; table < tables; ++table) {
      words[table * values + parameters.nodata] = 0;
    }
  }
}

}  // namespace

void AccumulateRows(const EqualizeParameters& parameters, const ImageShape& shape, ConstRows rows,
                    uint32_t first_row, Statistics& statistics) {
  AccumulateRows(parameters, shape, rows, ConstRows(), first_row, statistics);
}

void AccumulateRows(const EqualizeParameters& parameters, const ImageShape& shape, ConstRows rows,
                    ConstRows mask, uint32_t first_row, Statistics& statistics) {
  AccumulatePlanes(parameters, shape, {&rows, 1}, mask, first_row, statistics);
}

void AccumulatePlanes(const EqualizeParameters& parameters, const ImageShape& shape,
                      std::span<const ConstRows> planes, ConstRows mask, uint32_t first_row,
                      Statistics& statistics) {
  if (shape.width == 0 || planes[0].rows == 0) return;
  if (shape.bits_per_sample == 8) {
    Accumulate<uint8_t>(parameters, shape, planes, mask, first_row, statistics);
  } else {
    Accumulate<uint16_t>(parameters, shape, planes, mask, first_row, statistics);
  }
}

}  // namespace histeq
