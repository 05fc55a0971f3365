// ApplyRows: which table changes which pixels.
#include <algorithm>
#include <array>
#include <cstring>

#include "histeq/equalize.h"
#include "kernels.h"

namespace histeq {
namespace {

using internal::CombineSpec;
using internal::ExtractSpec;
using internal::Grid;
using internal::GridAxis;
using internal::Kernels;
using internal::Plane;
using internal::Quad;
using internal::SampleKernels;

// Pixels that are taken out of their rows at a time; what belongs to them fits into the first-level
// cache.
constexpr uint32_t kChunkPixels = 2048;

// Where a pixel lies between the centres of tiles, along one dimension.
struct Between {
  uint32_t before;  // Tile at or before it.
  uint32_t after;
  uint32_t weight;  // Of `after`, in 1/32768; below 32768.
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
  return {index, index + 1, static_cast<uint32_t>((past << 15) / (2 * tile))};
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

// Maps `count` samples of one plane that stand at x, x + 1, … of row y.
template <typename Sample>
void MapSamples(const Job<Sample>& job, uint32_t plane, uint32_t x, uint32_t y, uint32_t count,
                const Sample* in, Sample* out) {
  if (job.parameters.method != Method::kClahe) {
    job.kernels.map(job.Table(0, plane), in, count, out);
    return;
  }
  const Between row = BetweenTiles(job.grid.y, y);
  alignas(64) std::array<uint16_t, kChunkPixels> weights;
  for (uint32_t done = 0; done < count;) {
    const uint32_t begin = x + done;
    const Between column = BetweenTiles(job.grid.x, begin);
    const uint32_t end = EndOfStretch(job.grid.x, begin);
    const uint32_t run = std::min({count - done, end - begin, kChunkPixels});
    for (uint32_t i = 0; i < run; ++i) {
      weights[i] = static_cast<uint16_t>(BetweenTiles(job.grid.x, begin + i).weight);
    }
    const uint32_t tiles = job.grid.x.tiles;
    const Quad quad{job.Table(row.before * tiles + column.before, plane),
                    job.Table(row.before * tiles + column.after, plane),
                    job.Table(row.after * tiles + column.before, plane),
                    job.Table(row.after * tiles + column.after, plane)};
    job.kernels.interpolate(quad, row.weight, weights.data(), in + done, run, out + done);
    done += run;
  }
}

template <typename Sample>
void ApplyChunk(const Job<Sample>& job, uint32_t x, uint32_t y, uint32_t count, const Sample* in,
                Sample* out) {
  const uint32_t channels = job.shape.channels;
  const uint32_t largest = LargestSample(job.parameters, job.shape);
  alignas(64) std::array<Sample, kChunkPixels> plane_samples;
  alignas(64) std::array<Sample, kChunkPixels> mapped;
  ExtractSpec extract{Plane::kFirst, channels, false, false, 0, largest};
  const Plane first = internal::PlaneAt(job.parameters, job.shape, 0);
  if (internal::IsMixed(first)) {
    extract.plane = first;
    job.kernels.extract(extract, in, nullptr, count, plane_samples.data());
    MapSamples(job, 0, x, y, count, plane_samples.data(), mapped.data());
    const CombineSpec combine{channels, job.parameters.has_nodata, job.parameters.nodata, largest};
    if (first == Plane::kLuma) {
      job.kernels.add_luma(combine, in, plane_samples.data(), mapped.data(), count, out);
    } else {
      const auto factors = job.mapping.factors();
      job.kernels.scale_value(combine, factors.empty() ? nullptr : factors.data(), in,
                              plane_samples.data(), mapped.data(), count, out);
    }
    return;
  }
  if (in != out) std::memcpy(out, in, size_t{count} * channels * sizeof(Sample));
  for (uint32_t plane = 0; plane < job.planes; ++plane) {
    extract.plane = static_cast<Plane>(plane);
    job.kernels.extract(extract, out, nullptr, count, plane_samples.data());
    MapSamples(job, plane, x, y, count, plane_samples.data(), mapped.data());
    job.kernels.insert(channels, plane, mapped.data(), count, out);
  }
}

template <typename Sample>
void Apply(const EqualizeParameters& parameters, const ImageShape& shape, const Mapping& mapping,
           ConstRows in, Rows out, uint32_t first_row) {
  const Job<Sample> job{
      internal::KernelsFor<Sample>(internal::ActiveKernels()),
      parameters,
      shape,
      mapping,
      internal::PlaneCount(parameters, shape),
      parameters.method == Method::kClahe ? internal::GridOf(parameters, shape) : Grid{},
      SampleValues(shape)};
  for (uint32_t row = 0; row < in.rows; ++row) {
    const Sample* from = in.Row<Sample>(row);
    Sample* to = out.Row<Sample>(row);
    const uint32_t y = first_row + row;
    if (shape.channels == 1) {
      MapSamples(job, 0, 0, y, shape.width, from, to);
      continue;
    }
    for (uint32_t x = 0; x < shape.width; x += kChunkPixels) {
      const size_t offset = size_t{x} * shape.channels;
      ApplyChunk(job, x, y, std::min(kChunkPixels, shape.width - x), from + offset, to + offset);
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

}  // namespace histeq
