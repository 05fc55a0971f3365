#include "histeq/mapping.h"

#include <algorithm>
#include <cstring>

#include "layout.h"

namespace histeq {
namespace {

template <typename Sample>
void FillFactors(const Sample* table, size_t values, uint32_t* factors) {
  // A black pixel has no factor; the kernels give it the table's first entry.
  factors[0] = 0;
  for (uint32_t value = 1; value < values; ++value) {
    factors[value] = ((uint32_t{table[value]} << 16) + value / 2) / value;
  }
}

// For each cell, row by row and plane by plane.
template <typename Sample>
void FillQuads(const EqualizeParameters& parameters, const ImageShape& shape, const Sample* tables,
               Sample* quads) {
  const size_t values = SampleValues(shape);
  const size_t planes = internal::PlaneCount(parameters, shape);
  const auto table = [&](uint32_t tile_row, uint32_t tile, size_t plane) {
    return tables + ((size_t{tile_row} * parameters.grid_x + tile) * planes + plane) * values;
  };
  for (uint32_t y = 0; y <= parameters.grid_y; ++y) {
    const uint32_t upper = std::max(y, 1u) - 1;
    const uint32_t lower = std::min(y, parameters.grid_y - 1);
    for (uint32_t x = 0; x <= parameters.grid_x; ++x) {
      const uint32_t left = std::max(x, 1u) - 1;
      const uint32_t right = std::min(x, parameters.grid_x - 1);
      for (size_t plane = 0; plane < planes; ++plane, quads += 4 * values) {
        const Sample* upper_left = table(upper, left, plane);
        const Sample* lower_left = table(lower, left, plane);
        const Sample* upper_right = table(upper, right, plane);
        const Sample* lower_right = table(lower, right, plane);
        for (size_t value = 0; value < values; ++value) {
          quads[4 * value] = upper_left[value];
          quads[4 * value + 1] = lower_left[value];
          quads[4 * value + 2] = upper_right[value];
          quads[4 * value + 3] = lower_right[value];
        }
      }
    }
  }
}

}  // namespace

uint64_t Mapping::BytesFor(const EqualizeParameters& parameters, const ImageShape& shape) {
  return internal::TableCount(parameters, shape) * SampleValues(shape) *
         (shape.bits_per_sample / 8);
}

Mapping Mapping::Allocate(const EqualizeParameters& parameters, const ImageShape& shape) {
  Mapping mapping;
  mapping.bytes_ = Buffer<uint8_t>::Uninitialized(BytesFor(parameters, shape));
  return mapping;
}

void Mapping::Seal(const EqualizeParameters& parameters, const ImageShape& shape) {
  if (!valid()) return;
  if (internal::KeepsQuads(parameters, shape)) {
    const size_t cells = (size_t{parameters.grid_x} + 1) * (size_t{parameters.grid_y} + 1);
    const size_t tiles = size_t{parameters.grid_x} * parameters.grid_y;
    quads_ = Buffer<uint8_t>::Uninitialized(bytes_.size() / tiles * cells * 4);
    // Without them the kernels look up slower, not differently.
    if (quads_.empty()) return;
    if (shape.bits_per_sample == 8) {
      FillQuads(parameters, shape, bytes_.data(), quads_.data());
    } else {
      FillQuads(parameters, shape, reinterpret_cast<const uint16_t*>(bytes_.data()),
                reinterpret_cast<uint16_t*>(quads_.data()));
    }
  }
  if (parameters.method == Method::kClahe ||
      internal::PlaneAt(parameters, shape, 0) != internal::Plane::kValue) {
    return;
  }
  const size_t values = SampleValues(shape);
  factors_ = Buffer<uint32_t>::Uninitialized(values);
  if (factors_.empty()) {
    bytes_ = Buffer<uint8_t>();
    return;
  }
  if (shape.bits_per_sample == 8) {
    FillFactors(bytes_.data(), values, factors_.data());
  } else {
    FillFactors(reinterpret_cast<const uint16_t*>(bytes_.data()), values, factors_.data());
  }
}

std::optional<Mapping> Mapping::FromBytes(const EqualizeParameters& parameters,
                                          const ImageShape& shape, std::span<const uint8_t> bytes) {
  if (bytes.size() != BytesFor(parameters, shape)) return std::nullopt;
  Mapping mapping = Allocate(parameters, shape);
  if (!mapping.valid()) return std::nullopt;
  std::memcpy(mapping.bytes_.data(), bytes.data(), bytes.size());
  mapping.Seal(parameters, shape);
  if (!mapping.valid()) return std::nullopt;
  return mapping;
}

}  // namespace histeq
