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
  const bool wants_factors = valid() && parameters.method != Method::kClahe &&
                             internal::PlaneAt(parameters, shape, 0) == internal::Plane::kValue;
  if (!wants_factors) return;
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
