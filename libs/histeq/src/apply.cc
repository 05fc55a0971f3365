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
using internal::Quad;
using internal::SampleKernels;
using internal::Weights;

// Pixels that are taken out of their rows at a time; what belongs to them fits into the first-level
// cache.
constexpr uint32_t kChunkPixels = 2048;

// Where a pixel lies between the centres of tiles, along one dimension.
struct Between {
  uint32_t before;  // Tile at or before it.
  uint32_t after;
  uint64_t
      past;  // Distance from the centre of `before`, in `2 * tile` steps from centre to centre.

  // Of `after`, in `bits` bits of fraction, rounded down.
  uint32_t Weight(const GridAxis& axis, uint32_t bits) const {
    return static_cast<uint32_t>((past << bits) / (2 * uint64_t{axis.tile}));
  }
};

Between BetweenTiles(const GridAxis& axis, uint32_t position) {
  const uint64_t tile = axis.tile;
  const uint64_t doubled = 2 * uint64_t{position};
  // Before the first centre, and after the last one, there is only one tile.
  if (doubled < tile) return {0, 0, 0};
  const uint64_t before = (doubled - tile) / (2 * tile);
  if (before >= axis.tiles - 1) return {axis.tiles - 1, axis.tiles - 1, 0};
  const uint64_t past = (doubled - tile) % (2 * tile);
  const auto index = static_cast<uint32_t>(before);
  return {index, index + 1, past};
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

// A run of columns between the same centres of tiles.
template <typename Sample>
struct Run {
  uint32_t x;
  uint32_t count;
  Between column;
  alignas(64) std::array<typename Weights<Sample>::X, kChunkPixels> weights;
};

template <typename Sample>
void StartRun(const Job<Sample>& job, uint32_t x, Run<Sample>& run) {
  run.x = x;
  run.count = std::min(kChunkPixels, job.shape.width - x);
  if (job.parameters.method != Method::kClahe) return;
  run.column = BetweenTiles(job.grid.x, x);
  run.count = std::min(run.count, EndOfStretch(job.grid.x, x) - x);
  if (run.column.before == run.column.after) {
    std::fill_n(run.weights.data(), run.count, typename Weights<Sample>::X{0});
    return;
  }
  // floor(past * 2^bits / divisor) for past, past + 2, …, by its steps.
  const uint64_t divisor = 2 * uint64_t{job.grid.x.tile};
  const uint64_t scaled = run.column.past << Weights<Sample>::kBitsX;
  const uint64_t step = (uint64_t{2} << Weights<Sample>::kBitsX) / divisor;
  const uint64_t step_rest = (uint64_t{2} << Weights<Sample>::kBitsX) % divisor;
  uint64_t weight = scaled / divisor;
  uint64_t rest = scaled % divisor;
  for (uint32_t i = 0; i < run.count; ++i) {
    run.weights[i] = static_cast<typename Weights<Sample>::X>(weight);
    weight += step;
    rest += step_rest;
    if (rest >= divisor) {
      rest -= divisor;
      ++weight;
    }
  }
}

// Maps samples of one plane, one for each pixel of the run, in row y of the image.
template <typename Sample>
void MapRun(const Job<Sample>& job, const Run<Sample>& run, uint32_t plane, uint32_t y,
            const Sample* in, Sample* out) {
  if (job.parameters.method != Method::kClahe) {
    job.kernels.map(job.Table(0, plane), in, run.count, out);
    return;
  }
  const Between row = BetweenTiles(job.grid.y, y);
  const uint32_t tiles = job.grid.x.tiles;
  const Quad quad{job.Table(row.before * tiles + run.column.before, plane),
                  job.Table(row.before * tiles + run.column.after, plane),
                  job.Table(row.after * tiles + run.column.before, plane),
                  job.Table(row.after * tiles + run.column.after, plane)};
  job.kernels.interpolate(quad, row.Weight(job.grid.y, Weights<Sample>::kBitsY), run.weights.data(),
                          in, run.count, out);
}

// Buffers for the planes of a run.
template <typename Sample>
struct Scratch {
  alignas(64) std::array<Sample, kChunkPixels> plane;
  alignas(64) std::array<Sample, kChunkPixels> mapped;
};

template <typename Sample>
void ApplyRun(const Job<Sample>& job, const Run<Sample>& run, uint32_t y, const Sample* in,
              Sample* out, Scratch<Sample>& scratch) {
  const uint32_t channels = job.shape.channels;
  if (channels == 1) return MapRun(job, run, 0, y, in, out);
  const uint32_t largest = LargestSample(job.parameters, job.shape);
  ExtractSpec extract{Plane::kFirst, channels, false, false, 0, largest};
  const Plane first = internal::PlaneAt(job.parameters, job.shape, 0);
  Sample* plane_samples = scratch.plane.data();
  Sample* mapped = scratch.mapped.data();
  if (internal::IsMixed(first)) {
    extract.plane = first;
    job.kernels.extract(extract, in, nullptr, run.count, plane_samples);
    MapRun(job, run, 0, y, plane_samples, mapped);
    const CombineSpec combine{channels, job.parameters.has_nodata, job.parameters.nodata, largest};
    if (first == Plane::kLuma) {
      job.kernels.add_luma(combine, in, plane_samples, mapped, run.count, out);
    } else {
      const auto factors = job.mapping.factors();
      job.kernels.scale_value(combine, factors.empty() ? nullptr : factors.data(), in,
                              plane_samples, mapped, run.count, out);
    }
    return;
  }
  if (in != out) std::memcpy(out, in, size_t{run.count} * channels * sizeof(Sample));
  for (uint32_t plane = 0; plane < job.planes; ++plane) {
    extract.plane = static_cast<Plane>(plane);
    job.kernels.extract(extract, out, nullptr, run.count, plane_samples);
    MapRun(job, run, plane, y, plane_samples, mapped);
    job.kernels.insert(channels, plane, mapped, run.count, out);
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
  // Runs outside, rows inside: a run's weights are computed, and its tables come into the cache,
  // once.
  Run<Sample> run;
  Scratch<Sample> scratch;
  for (uint32_t x = 0; x < shape.width; x += run.count) {
    StartRun(job, x, run);
    const size_t offset = size_t{x} * shape.channels;
    for (uint32_t row = 0; row < in.rows; ++row) {
      ApplyRun(job, run, first_row + row, in.Row<Sample>(row) + offset,
               out.Row<Sample>(row) + offset, scratch);
    }
  }
}

// As Apply, for planes: a run of pixels at a time is interleaved, changed, and taken apart again.
template <typename Sample>
void ApplyToPlanes(const EqualizeParameters& parameters, const ImageShape& shape,
                   const Mapping& mapping, std::span<const ConstRows> in, std::span<const Rows> out,
                   uint32_t first_row) {
  const internal::Kernels all = internal::ActiveKernels();
  const SampleKernels<Sample>& kernels = internal::KernelsFor<Sample>(all);
  const auto job = JobOf(kernels, parameters, shape, mapping);
  Run<Sample> run;
  Scratch<Sample> scratch;
  alignas(64) std::array<Sample, 4 * kChunkPixels> pixels{};
  for (uint32_t x = 0; x < shape.width; x += run.count) {
    StartRun(job, x, run);
    for (uint32_t row = 0; row < in[0].rows; ++row) {
      internal::Interleave(kernels, in, row, x, run.count, pixels.data());
      ApplyRun(job, run, first_row + row, pixels.data(), pixels.data(), scratch);
      for (uint32_t channel = 0; channel < shape.channels; ++channel) {
        const ExtractSpec extract{static_cast<Plane>(channel), shape.channels, false, false, 0, 0};
        kernels.extract(extract, pixels.data(), nullptr, run.count,
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
