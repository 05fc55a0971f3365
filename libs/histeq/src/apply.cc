// ApplyRows: which table changes which pixels.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <span>

#include "histeq/equalize.h"
#include "kernels.h"

namespace histeq {
namespace {

using internal::CombineSpec;
using internal::ExtractSpec;
using internal::Grid;
using internal::GridAxis;
using internal::Plane;
using internal::SampleKernels;
using internal::Stretch;
using internal::TableRow;
using internal::Weights;

// Pixels that are taken out of their rows at a time; what belongs to them fits into the first-level
// cache.
constexpr uint32_t kChunkPixels = 2048;
// Pixels of a strip of columns where nothing is taken out: rows of most pictures, as going on along
// a row is what memory is fast at.
constexpr uint32_t kStripPixels = 8192;
// One more than centres of tiles in a row, and one that begins with the strip.
constexpr uint32_t kMostStretches = 258;

// Where a pixel lies between the centres of tiles, along one dimension.
struct Between {
  uint32_t before;  // Tile at or before it.
  uint32_t after;
  uint32_t cell;
  // Distance from the centre of `before`, in `2 * tile` steps from centre to centre.
  uint64_t past;

  // Of `after`, in `bits` bits of fraction, rounded down.
  uint32_t Weight(const GridAxis& axis, uint32_t bits) const {
    return static_cast<uint32_t>((past << bits) / (2 * uint64_t{axis.tile}));
  }
};

Between BetweenTiles(const GridAxis& axis, uint32_t position) {
  const uint64_t tile = axis.tile;
  const uint64_t doubled = 2 * uint64_t{position};
  // Before the first centre, and after the last one, there is only one tile.
  if (doubled < tile) return {0, 0, 0, 0};
  const uint64_t before = (doubled - tile) / (2 * tile);
  if (before >= axis.tiles - 1) return {axis.tiles - 1, axis.tiles - 1, axis.tiles, 0};
  const uint64_t past = (doubled - tile) % (2 * tile);
  const auto index = static_cast<uint32_t>(before);
  return {index, index + 1, index + 1, past};
}

// First position with BetweenTiles(position).before > `before`.
uint32_t EndOfStretch(const GridAxis& axis, uint32_t position) {
  const uint64_t tile = axis.tile;
  const uint64_t doubled = 2 * uint64_t{position};
  const uint64_t centres = doubled < tile ? 0 : (doubled - tile) / (2 * tile) + 1;
  if (centres >= axis.tiles) return UINT32_MAX;
  // The smallest position whose double is at least the next centre's.
  return static_cast<uint32_t>(((2 * centres + 1) * tile + 1) / 2);
}

template <typename Sample>
struct Job {
  const SampleKernels<Sample>& kernels;
  const EqualizeParameters& parameters;
  const ImageShape& shape;
  const Mapping& mapping;
  uint32_t planes;
  Grid grid;
  uint32_t values;

  const Sample* Table(uint32_t tile, uint32_t plane) const {
    return reinterpret_cast<const Sample*>(mapping.data().data()) +
           (uint64_t{tile} * planes + plane) * values;
  }
};

// A strip of columns, worked on row by row.
template <typename Sample>
struct Strip {
  uint32_t x;
  uint32_t count;
  // kClahe:
  std::array<Stretch, kMostStretches> stretches;
  alignas(
      64) std::array<typename Weights<Sample>::X, kStripPixels + internal::kWeightsPadding> weights;
};

// Weights of `count` pixels from `column` on.
template <typename Sample>
void FillWeights(const GridAxis& axis, const Between& column, uint32_t count,
                 typename Weights<Sample>::X* weights) {
  if (column.before == column.after) {
    std::fill_n(weights, count, typename Weights<Sample>::X{0});
    return;
  }
  // floor(past * 2^bits / divisor) for past, past + 2, …, by its steps.
  const uint64_t divisor = 2 * uint64_t{axis.tile};
  const uint64_t scaled = column.past << Weights<Sample>::kBitsX;
  const uint64_t step = (uint64_t{2} << Weights<Sample>::kBitsX) / divisor;
  const uint64_t step_rest = (uint64_t{2} << Weights<Sample>::kBitsX) % divisor;
  uint64_t weight = scaled / divisor;
  uint64_t rest = scaled % divisor;
  for (uint32_t i = 0; i < count; ++i) {
    weights[i] = static_cast<typename Weights<Sample>::X>(weight);
    weight += step;
    rest += step_rest;
    if (rest >= divisor) {
      rest -= divisor;
      ++weight;
    }
  }
}

template <typename Sample>
void StartStrip(const Job<Sample>& job, uint32_t x, Strip<Sample>& strip) {
  strip.x = x;
  strip.count =
      std::min(job.shape.channels == 1 ? kStripPixels : kChunkPixels, job.shape.width - x);
  if (job.parameters.method != Method::kClahe) return;
  Stretch* stretch = strip.stretches.data();
  for (uint32_t done = 0; done < strip.count; done += stretch++->count) {
    const Between column = BetweenTiles(job.grid.x, x + done);
    const uint32_t count =
        std::min(strip.count - done, EndOfStretch(job.grid.x, x + done) - (x + done));
    *stretch = {count, column.before, column.after, column.cell};
    FillWeights<Sample>(job.grid.x, column, count, strip.weights.data() + done);
    // Deep tables of one cell fill the second-level cache.
    if (sizeof(Sample) == 2) strip.count = count;
  }
  std::fill_n(strip.weights.data() + strip.count, internal::kWeightsPadding, 0);
}

// Maps samples of one plane, one for each pixel of the strip, in row y of the image.
template <typename Sample>
void MapRow(const Job<Sample>& job, const Strip<Sample>& strip, uint32_t plane, uint32_t y,
            const Sample* in, Sample* out) {
  if (job.parameters.method != Method::kClahe) {
    job.kernels.map(job.Table(0, plane), in, strip.count, out);
    return;
  }
  const Between at = BetweenTiles(job.grid.y, y);
  const uint32_t tiles = job.grid.x.tiles;
  const size_t step = size_t{job.planes} * job.values;
  const auto* quads = reinterpret_cast<const Sample*>(job.mapping.quads().data());
  if (quads != nullptr) quads += (size_t{at.cell} * (tiles + 1) * step + plane * job.values) * 4;
  const TableRow<Sample> row{job.Table(at.before * tiles, plane),
                             job.Table(at.after * tiles, plane), quads, step,
                             at.Weight(job.grid.y, Weights<Sample>::kBitsY)};
  job.kernels.interpolate(row, strip.stretches.data(), strip.weights.data(), in, strip.count, out);
}

// Buffers for the planes of a strip.
template <typename Sample>
struct Scratch {
  alignas(64) std::array<Sample, kChunkPixels> plane;
  alignas(64) std::array<Sample, kChunkPixels> mapped;
};

template <typename Sample>
void ApplyRow(const Job<Sample>& job, const Strip<Sample>& strip, uint32_t y, const Sample* in,
              Sample* out, Scratch<Sample>& scratch) {
  const uint32_t channels = job.shape.channels;
  if (channels == 1) return MapRow(job, strip, 0, y, in, out);
  const uint32_t largest = LargestSample(job.parameters, job.shape);
  ExtractSpec extract{Plane::kFirst, channels, false, false, 0, largest};
  const Plane first = internal::PlaneAt(job.parameters, job.shape, 0);
  Sample* plane_samples = scratch.plane.data();
  Sample* mapped = scratch.mapped.data();
  if (internal::IsMixed(first)) {
    extract.plane = first;
    job.kernels.extract(extract, in, nullptr, strip.count, plane_samples);
    MapRow(job, strip, 0, y, plane_samples, mapped);
    const CombineSpec combine{channels, job.parameters.has_nodata, job.parameters.nodata, largest};
    if (first == Plane::kLuma) {
      job.kernels.add_luma(combine, in, plane_samples, mapped, strip.count, out);
    } else {
      const auto factors = job.mapping.factors();
      job.kernels.scale_value(combine, factors.empty() ? nullptr : factors.data(), in,
                              plane_samples, mapped, strip.count, out);
    }
    return;
  }
  if (in != out) std::memcpy(out, in, size_t{strip.count} * channels * sizeof(Sample));
  for (uint32_t plane = 0; plane < job.planes; ++plane) {
    extract.plane = static_cast<Plane>(plane);
    job.kernels.extract(extract, out, nullptr, strip.count, plane_samples);
    MapRow(job, strip, plane, y, plane_samples, mapped);
    job.kernels.insert(channels, plane, mapped, strip.count, out);
  }
}

template <typename Sample>
bool IsIdentity(const Sample* table, uint32_t values) {
  for (uint32_t value = 0; value < values; ++value) {
    if (table[value] != value) return false;
  }
  return true;
}

template <typename Sample>
void CopyRows(ConstRows in, Rows out, size_t row_samples) {
  for (uint32_t row = 0; row < in.rows; ++row) {
    std::memcpy(out.Row<Sample>(row), in.Row<Sample>(row), row_samples * sizeof(Sample));
  }
}

template <typename Sample>
Job<Sample> JobOf(const SampleKernels<Sample>& kernels, const EqualizeParameters& parameters,
                  const ImageShape& shape, const Mapping& mapping) {
  const bool tiled = parameters.method == Method::kClahe;
  return {kernels,
          parameters,
          shape,
          mapping,
          internal::PlaneCount(parameters, shape),
          tiled ? internal::GridOf(parameters, shape) : Grid{},
          SampleValues(shape)};
}

template <typename Sample>
void Apply(const EqualizeParameters& parameters, const ImageShape& shape, const Mapping& mapping,
           ConstRows in, Rows out, uint32_t first_row) {
  const bool tiled = parameters.method == Method::kClahe;
  const internal::Kernels kernels = internal::ActiveKernels();
  const auto job = JobOf(internal::KernelsFor<Sample>(kernels), parameters, shape, mapping);
  if (shape.channels == 1 && !tiled) {
    if (sizeof(Sample) == 1 && IsIdentity(job.Table(0, 0), job.values)) {
      if (in.data != out.data) CopyRows<Sample>(in, out, shape.width);
      return;
    }
    const auto row_bytes = static_cast<ptrdiff_t>(size_t{shape.width} * sizeof(Sample));
    if (in.stride_bytes == row_bytes && out.stride_bytes == row_bytes) {
      // Rows without gaps are one row: the table is loaded once.
      job.kernels.map(job.Table(0, 0), in.Row<Sample>(0), size_t{shape.width} * in.rows,
                      out.Row<Sample>(0));
      return;
    }
    for (uint32_t row = 0; row < in.rows; ++row) {
      job.kernels.map(job.Table(0, 0), in.Row<Sample>(row), shape.width, out.Row<Sample>(row));
    }
    return;
  }
  Strip<Sample> strip;
  Scratch<Sample> scratch;
  for (uint32_t x = 0; x < shape.width; x += strip.count) {
    StartStrip(job, x, strip);
    const size_t offset = size_t{x} * shape.channels;
    const size_t row_bytes = size_t{strip.count} * shape.channels * sizeof(Sample);
    for (uint32_t row = 0; row < in.rows; ++row) {
      if (strip.count < shape.width && row + 1 < in.rows) {
        internal::PrefetchRow(in.Row<Sample>(row + 1) + offset, row_bytes);
        internal::PrefetchRow(out.Row<Sample>(row + 1) + offset, row_bytes);
      }
      ApplyRow(job, strip, first_row + row, in.Row<Sample>(row) + offset,
               out.Row<Sample>(row) + offset, scratch);
    }
  }
}

// As Apply, for planes: a strip's row at a time is interleaved, changed, and taken apart again.
template <typename Sample>
void ApplyToPlanes(const EqualizeParameters& parameters, const ImageShape& shape,
                   const Mapping& mapping, std::span<const ConstRows> in, std::span<const Rows> out,
                   uint32_t first_row) {
  const internal::Kernels all = internal::ActiveKernels();
  const SampleKernels<Sample>& kernels = internal::KernelsFor<Sample>(all);
  const auto job = JobOf(kernels, parameters, shape, mapping);
  Strip<Sample> strip;
  Scratch<Sample> scratch;
  alignas(64) std::array<Sample, 4 * kChunkPixels> pixels{};
  for (uint32_t x = 0; x < shape.width; x += strip.count) {
    StartStrip(job, x, strip);
    for (uint32_t row = 0; row < in[0].rows; ++row) {
      internal::Interleave(kernels, in, row, x, strip.count, pixels.data());
      ApplyRow(job, strip, first_row + row, pixels.data(), pixels.data(), scratch);
      for (uint32_t channel = 0; channel < shape.channels; ++channel) {
        const ExtractSpec extract{static_cast<Plane>(channel), shape.channels, false, false, 0, 0};
        kernels.extract(extract, pixels.data(), nullptr, strip.count,
                        out[channel].Row<Sample>(row) + x);
      }
    }
  }
}

}  // namespace

void ApplyRows(const EqualizeParameters& parameters, const ImageShape& shape,
               const Mapping& mapping, ConstRows in, Rows out, uint32_t first_row) {
  if (shape.width == 0 || in.rows == 0) return;
  if (shape.bits_per_sample == 8) {
    Apply<uint8_t>(parameters, shape, mapping, in, out, first_row);
  } else {
    Apply<uint16_t>(parameters, shape, mapping, in, out, first_row);
  }
}

void ApplyPlanes(const EqualizeParameters& parameters, const ImageShape& shape,
                 const Mapping& mapping, std::span<const ConstRows> in, std::span<const Rows> out,
                 uint32_t first_row) {
  if (shape.channels == 1) {
    return ApplyRows(parameters, shape, mapping, in[0], out[0], first_row);
  }
  if (shape.width == 0 || in[0].rows == 0) return;
  if (shape.bits_per_sample == 8) {
    ApplyToPlanes<uint8_t>(parameters, shape, mapping, in, out, first_row);
  } else {
    ApplyToPlanes<uint16_t>(parameters, shape, mapping, in, out, first_row);
  }
}

}  // namespace histeq
