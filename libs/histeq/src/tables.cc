// ComputeMapping: from counts to tables.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "distribution.h"
#include "histeq/equalize.h"
#include "kernels.h"

namespace histeq {
namespace {

using internal::ScaledSums;
using internal::Spread;
using internal::TileKernels;

// Working memory for one table, allocated once for all tables of a mapping.
struct Workspace {
  uint64_t* counts;  // SampleValues entries; those above `largest` are folded into it.
  uint64_t* target;  // SampleValues entries for kMatch, else null.
};

void FillIdentity(uint32_t largest, uint16_t* table) {
  for (uint32_t value = 0; value <= largest; ++value) table[value] = static_cast<uint16_t>(value);
}

uint64_t SumOf(const uint64_t* counts, uint32_t largest) {
  uint64_t sum = 0;
  for (uint32_t value = 0; value <= largest; ++value) sum += counts[value];
  return sum;
}

void FillGlobal(const uint64_t* counts, uint64_t total, uint32_t largest, uint16_t* table) {
  uint32_t value = 0;
  while (counts[value] == 0) table[value++] = 0;
  if (counts[value] == total) return FillIdentity(largest, table);
  const ScaledSums scaled(internal::Quotient24(largest, total - counts[value]),
                          total - counts[value], largest);
  table[value] = 0;
  uint64_t sum = 0;
  for (++value; value <= largest; ++value) {
    sum += counts[value];
    table[value] = counts[value] == 0 ? table[value - 1] : static_cast<uint16_t>(scaled(sum));
  }
}

// Cuts counts at `limit` and spreads what was cut off as OpenCV's CLAHE does: the same for all,
// then one each at even steps.
void Clip(uint64_t limit, uint32_t largest, uint64_t* counts) {
  uint64_t excess = 0;
  for (uint32_t value = 0; value <= largest; ++value) {
    // No branch: which counts are above is hard to foresee.
    const uint64_t kept = std::min(counts[value], limit);
    excess += counts[value] - kept;
    counts[value] = kept;
  }
  const uint64_t bins = uint64_t{largest} + 1;
  const uint64_t each = excess / bins;
  const uint64_t rest = excess % bins;
  if (each != 0) {
    for (uint32_t value = 0; value <= largest; ++value) counts[value] += each;
  }
  if (rest == 0) return;
  const uint64_t step = std::max<uint64_t>(bins / rest, 1);
  uint64_t left = rest;
  for (uint64_t value = 0; value < bins && left > 0; value += step, --left) ++counts[value];
}

uint64_t ClipLimit(const EqualizeParameters& parameters, uint64_t total, uint32_t largest) {
  const auto limit =
      static_cast<uint64_t>(static_cast<unsigned __int128>(parameters.clip_limit_q8) * total / 256 /
                            (uint64_t{largest} + 1));
  return std::max<uint64_t>(limit, 1);
}

// One tile of CLAHE with fewer bins than the kernels look at together, or counts too large for
// them.
void SumUp(const Spread& spread, const ScaledSums& scaled, uint64_t bins, const uint64_t* counts,
           uint16_t* table) {
  uint64_t next = spread.next;
  uint64_t left = spread.left;
  uint64_t sum = 0;
  for (uint64_t value = 0; value < bins; ++value) {
    sum += std::min(counts[value], spread.limit) + spread.each;
    if (value == next) {
      ++sum;
      next = --left == 0 ? UINT64_MAX : next + spread.step;
    }
    table[value] = static_cast<uint16_t>(scaled(sum));
  }
}

// One tile of CLAHE.
void FillTile(const EqualizeParameters& parameters, const TileKernels& kernels, uint32_t largest,
              const uint64_t* counts, uint64_t* block_sums, uint16_t* table) {
  const uint64_t bins = uint64_t{largest} + 1;
  const bool in_blocks = bins >= internal::kBlockBins;
  const uint64_t total =
      in_blocks ? kernels.sum_blocks(counts, bins, block_sums) : SumOf(counts, largest);
  if (total == 0) return FillIdentity(largest, table);
  const uint64_t limit = ClipLimit(parameters, total, largest);
  uint64_t excess = 0;
  if (in_blocks) {
    excess = kernels.excess(counts, bins, block_sums, limit);
  } else {
    for (uint64_t value = 0; value < bins; ++value) {
      excess += counts[value] - std::min(counts[value], limit);
    }
  }
  const ScaledSums scaled(internal::Quotient24(largest, total), total, largest);
  const Spread spread = internal::SpreadOf(limit, excess, bins);
  // Counts that this library has not counted may overflow their sum.
  if (in_blocks && total >> 24 == 0 && excess <= total) {
    kernels.sum_up(spread, scaled, bins, counts, block_sums, table);
  } else {
    SumUp(spread, scaled, bins, counts, table);
  }
}

// The smallest value whose share of the target reaches the sample's share of the image.
void FillMatch(const uint64_t* counts, uint64_t total, const uint64_t* target, uint32_t largest,
               uint16_t* table) {
  const uint64_t target_total = SumOf(target, largest);
  uint64_t sum = 0;
  uint32_t entry = 0;
  uint64_t target_sum = target[0];
  for (uint32_t value = 0; value <= largest; ++value) {
    sum += counts[value];
    const unsigned __int128 wanted = static_cast<unsigned __int128>(sum) * target_total;
    while (entry < largest &&
           (static_cast<unsigned __int128>(target_sum) * total < wanted || target_sum == 0)) {
      target_sum += target[++entry];
    }
    table[value] = static_cast<uint16_t>(entry);
  }
}

void FillStretch(const EqualizeParameters& parameters, const uint64_t* counts, uint32_t largest,
                 uint16_t* table) {
  const std::span<const uint64_t> histogram(counts, size_t{largest} + 1);
  const uint32_t low = PercentileOf(histogram, parameters.percentile_low_q4);
  const uint32_t high = PercentileOf(histogram, parameters.percentile_high_q4);
  if (low >= high) return FillIdentity(largest, table);
  const uint64_t range = high - low;
  for (uint32_t value = 0; value <= largest; ++value) {
    const uint64_t above = std::clamp(value, low, high) - low;
    table[value] = static_cast<uint16_t>((2 * above * largest + range) / (2 * range));
  }
}

bool HasOneValue(const uint64_t* counts, uint64_t total, uint32_t largest) {
  return std::find(counts, counts + largest + 1, total) != counts + largest + 1;
}

// One table of a method other than kClahe; `work.counts` may be changed.
void FillTable(const EqualizeParameters& parameters, uint32_t largest, Workspace work,
               uint16_t* table) {
  const uint64_t total = SumOf(work.counts, largest);
  if (total == 0) return FillIdentity(largest, table);
  if (HasOneValue(work.counts, total, largest)) return FillIdentity(largest, table);
  switch (parameters.method) {
    case Method::kClahe:
      break;
    case Method::kGlobal:
      return FillGlobal(work.counts, total, largest, table);
    case Method::kClipLimited:
      Clip(ClipLimit(parameters, total, largest), largest, work.counts);
      return FillGlobal(work.counts, total, largest, table);
    case Method::kMatch:
      return FillMatch(work.counts, total, work.target, largest, table);
    case Method::kStretch:
      return FillStretch(parameters, work.counts, largest, table);
  }
  FillIdentity(largest, table);
}

// Blends with the identity, extends the table beyond `largest`, and leaves nodata alone. `out` may
// be the table.
template <typename Sample>
void Store(const EqualizeParameters& parameters, uint32_t largest, uint32_t values,
           bool keeps_nodata, const uint16_t* table, Sample* out) {
  const uint64_t strength = parameters.strength_q16;
  if (strength == 65536) {
    if (static_cast<const void*>(out) != table) {
      for (size_t value = 0; value <= largest; ++value) {
        out[value] = static_cast<Sample>(table[value]);
      }
    }
  } else {
    for (uint64_t value = 0; value <= largest; ++value) {
      out[value] =
          static_cast<Sample>((value * (65536 - strength) + table[value] * strength + 32768) >> 16);
    }
  }
  std::fill(out + largest + 1, out + values, out[largest]);
  if (keeps_nodata) out[parameters.nodata] = static_cast<Sample>(parameters.nodata);
}

// Values beyond the significant bits count as the largest.
void FoldLarger(uint32_t largest, std::span<uint64_t> counts) {
  for (size_t value = size_t{largest} + 1; value < counts.size(); ++value) {
    counts[largest] += counts[value];
  }
}

}  // namespace

Mapping ComputeMapping(const EqualizeParameters& parameters, const ImageShape& shape,
                       const Statistics& statistics) {
  const uint32_t values = SampleValues(shape);
  const uint32_t largest = LargestSample(parameters, shape);
  const uint64_t tables = internal::TableCount(parameters, shape);
  const std::span<const uint64_t> words = statistics.words();
  if (words.size() != tables * values) return Mapping();
  Mapping mapping = Mapping::Allocate(parameters, shape);
  const bool tiled = parameters.method == Method::kClahe;
  const bool matches = parameters.method == Method::kMatch;
  auto counts = Buffer<uint64_t>::Uninitialized(values);
  const bool deep = shape.bits_per_sample == 16;
  // Deep tables are made where they stay.
  auto bytes_table = deep ? Buffer<uint16_t>() : Buffer<uint16_t>::Uninitialized(values);
  auto block_sums = Buffer<uint64_t>::Uninitialized(values / internal::kBlockBins);
  auto target = matches ? Buffer<uint64_t>::Uninitialized(values) : Buffer<uint64_t>();
  if (!mapping.valid() || counts.empty() || (!deep && bytes_table.empty()) || block_sums.empty() ||
      (matches && target.empty())) {
    return Mapping();
  }
  if (matches) {
    if (parameters.reference.empty()) {
      internal::FillDistribution(parameters.distribution, largest, target.data());
    } else {
      std::copy(parameters.reference.begin(), parameters.reference.end(), target.data());
      FoldLarger(largest, target.span());
    }
  }
  // With mixed planes only a pixel of three equal channels is nodata: the kernels look at that.
  const bool keeps_nodata =
      parameters.has_nodata && !internal::IsMixed(internal::PlaneAt(parameters, shape, 0));
  const TileKernels kernels = internal::ActiveTileKernels();
  const bool folds = largest + 1 != values;
  auto* words_out = reinterpret_cast<uint16_t*>(mapping.mutable_data().data());
  for (uint64_t index = 0; index < tables; ++index) {
    uint16_t* table = deep ? words_out + index * values : bytes_table.data();
    const uint64_t* source = words.data() + index * values;
    if (!tiled || folds) {
      std::copy(source, source + values, counts.data());
      FoldLarger(largest, counts.span());
    }
    if (tiled) {
      FillTile(parameters, kernels, largest, folds ? counts.data() : source, block_sums.data(),
               table);
    } else {
      FillTable(parameters, largest, {counts.data(), target.data()}, table);
    }
    if (deep) {
      Store(parameters, largest, values, keeps_nodata, table, table);
    } else {
      Store(parameters, largest, values, keeps_nodata, table,
            mapping.mutable_data().data() + index * values);
    }
  }
  mapping.Seal(parameters, shape);
  return mapping;
}

}  // namespace histeq
