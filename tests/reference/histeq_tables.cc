#include "histeq_tables.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "histeq_planes.h"

namespace histeq::reference {
namespace {

uint64_t Sum(std::span<const uint64_t> histogram) {
  return std::accumulate(histogram.begin(), histogram.end(), uint64_t{0});
}

std::vector<uint64_t> Cumulative(std::span<const uint64_t> histogram) {
  std::vector<uint64_t> sums(histogram.size());
  std::partial_sum(histogram.begin(), histogram.end(), sums.begin());
  return sums;
}

Table Identity(size_t size) {
  Table table(size);
  std::iota(table.begin(), table.end(), 0u);
  return table;
}

// OpenCV's saturate_cast: round half to even, then clamp. Stored first, so that no excess precision
// is left.
uint32_t Saturated(float value, uint32_t largest) {
  const volatile float stored = value;
  if (stored >= static_cast<float>(largest)) return largest;
  return static_cast<uint32_t>(std::lrint(stored));
}

// The smallest value at which the running share reaches `percentile_q4`.
uint32_t PercentileByRank(std::span<const uint64_t> histogram, uint32_t percentile_q4) {
  const std::vector<uint64_t> sums = Cumulative(histogram);
  const auto total = static_cast<unsigned __int128>(sums.back());
  for (uint32_t value = 0; value < sums.size(); ++value) {
    if (sums[value] > 0 &&
        static_cast<unsigned __int128>(sums[value]) * 1'000'000 >= total * percentile_q4) {
      return value;
    }
  }
  return static_cast<uint32_t>(sums.size()) - 1;
}

Table TableOf(const EqualizeParameters& parameters, std::span<const uint64_t> histogram,
              std::span<const uint64_t> reference) {
  const uint64_t total = Sum(histogram);
  if (total == 0) return Identity(histogram.size());
  if (parameters.method == Method::kClahe) {
    return ClaheTable(histogram, parameters.clip_limit_q8);
  }
  if (std::count(histogram.begin(), histogram.end(), total) == 1) {
    return Identity(histogram.size());
  }
  switch (parameters.method) {
    case Method::kGlobal:
      return GlobalTable(histogram);
    case Method::kClipLimited:
      return GlobalTable(Clipped(histogram, parameters.clip_limit_q8));
    case Method::kMatch:
      return reference.empty() ? MatchTable(histogram, parameters.distribution)
                               : MatchTable(histogram, reference);
    default:
      return StretchTable(histogram, parameters.percentile_low_q4, parameters.percentile_high_q4);
  }
}

// Values beyond the largest count as the largest.
std::vector<uint64_t> Folded(std::span<const uint64_t> counts, uint32_t largest) {
  std::vector<uint64_t> folded(counts.begin(), counts.begin() + largest + 1);
  for (size_t value = largest + 1; value < counts.size(); ++value) folded.back() += counts[value];
  return folded;
}

}  // namespace

Table GlobalTable(std::span<const uint64_t> histogram) {
  const auto largest = static_cast<uint32_t>(histogram.size() - 1);
  size_t first = 0;
  while (histogram[first] == 0) ++first;
  if (histogram[first] == Sum(histogram)) return Identity(histogram.size());
  const volatile float scale =
      static_cast<float>(largest) / static_cast<float>(Sum(histogram) - histogram[first]);
  Table table(histogram.size());
  uint64_t sum = 0;
  for (size_t value = first + 1; value < histogram.size(); ++value) {
    sum += histogram[value];
    table[value] = Saturated(static_cast<float>(sum) * scale, largest);
  }
  return table;
}

std::vector<uint64_t> Clipped(std::span<const uint64_t> histogram, uint32_t clip_limit_q8) {
  const uint64_t bins = histogram.size();
  const auto product = static_cast<unsigned __int128>(clip_limit_q8) * Sum(histogram);
  const uint64_t limit = std::max<uint64_t>(static_cast<uint64_t>(product / (256 * bins)), 1);
  std::vector<uint64_t> clipped(histogram.begin(), histogram.end());
  uint64_t excess = 0;
  for (uint64_t& count : clipped) {
    if (count > limit) {
      excess += count - limit;
      count = limit;
    }
  }
  for (uint64_t& count : clipped) count += excess / bins;
  uint64_t residual = excess % bins;
  if (residual != 0) {
    const uint64_t step = std::max<uint64_t>(bins / residual, 1);
    for (uint64_t value = 0; value < bins && residual > 0; value += step, --residual) {
      clipped[value] += 1;
    }
  }
  return clipped;
}

Table ClaheTable(std::span<const uint64_t> histogram, uint32_t clip_limit_q8) {
  const auto largest = static_cast<uint32_t>(histogram.size() - 1);
  const volatile float scale = static_cast<float>(largest) / static_cast<float>(Sum(histogram));
  const std::vector<uint64_t> sums = Cumulative(Clipped(histogram, clip_limit_q8));
  Table table(histogram.size());
  for (size_t value = 0; value < table.size(); ++value) {
    table[value] = Saturated(static_cast<float>(sums[value]) * scale, largest);
  }
  return table;
}

Table MatchTable(std::span<const uint64_t> histogram, std::span<const uint64_t> target) {
  const std::vector<uint64_t> source_sums = Cumulative(histogram);
  const std::vector<uint64_t> target_sums = Cumulative(target);
  const auto source_total = static_cast<unsigned __int128>(source_sums.back());
  const auto target_total = static_cast<unsigned __int128>(target_sums.back());
  Table table(histogram.size());
  for (size_t value = 0; value < table.size(); ++value) {
    // G(z) = T(r) = 0 would map to values that the target does not have.
    const auto reaches = [&](uint64_t target_sum, uint64_t source_sum) {
      return !(target_sum > 0 && target_sum * source_total >= source_sum * target_total);
    };
    const auto found =
        std::lower_bound(target_sums.begin(), target_sums.end(), source_sums[value], reaches);
    table[value] = static_cast<uint32_t>(found - target_sums.begin());
  }
  return table;
}

Table MatchTable(std::span<const uint64_t> histogram, Distribution distribution) {
  const auto bins = static_cast<long double>(histogram.size());
  std::vector<long double> target_sums;
  long double target_total = 0;
  for (size_t value = 0; value < histogram.size(); ++value) {
    const auto v = static_cast<long double>(value);
    long double density = 1;
    if (distribution == Distribution::kGaussian) {
      const long double distance = (v - (bins - 1) / 2) / (bins / 6);
      density = std::exp(-distance * distance / 2);
    } else if (distribution == Distribution::kRayleigh) {
      const long double distance = v / (bins / 4);
      density = distance * std::exp(-distance * distance / 2);
    }
    target_total += density;
    target_sums.push_back(target_total);
  }
  const std::vector<uint64_t> source_sums = Cumulative(histogram);
  Table table(histogram.size());
  for (size_t value = 0; value < table.size(); ++value) {
    const long double share =
        static_cast<long double>(source_sums[value]) / static_cast<long double>(source_sums.back());
    const auto below = [&](long double sum, long double wanted) {
      // Shares that are equal but for rounding are equal.
      return sum == 0 || sum / target_total < wanted - 1e-15L;
    };
    const auto entry = std::lower_bound(target_sums.begin(), target_sums.end() - 1, share, below) -
                       target_sums.begin();
    table[value] = static_cast<uint32_t>(entry);
  }
  return table;
}

Table StretchTable(std::span<const uint64_t> histogram, uint32_t percentile_low_q4,
                   uint32_t percentile_high_q4) {
  const uint32_t low = PercentileByRank(histogram, percentile_low_q4);
  const uint32_t high = PercentileByRank(histogram, percentile_high_q4);
  if (low >= high) return Identity(histogram.size());
  const auto largest = static_cast<double>(histogram.size() - 1);
  Table table(histogram.size());
  for (uint32_t value = 0; value < table.size(); ++value) {
    const double above = std::clamp(value, low, high) - low;
    table[value] = static_cast<uint32_t>(std::floor(above * largest / (high - low) + 0.5));
  }
  return table;
}

std::vector<Table> Tables(const EqualizeParameters& parameters, const ImageShape& shape,
                          std::span<const uint64_t> counts) {
  const uint32_t values = SampleValues(shape);
  const uint32_t largest = LargestSample(parameters, shape);
  std::vector<uint64_t> reference;
  if (!parameters.reference.empty()) reference = Folded(parameters.reference, largest);
  std::vector<Table> tables;
  for (size_t at = 0; at < counts.size(); at += values) {
    const Table plain = TableOf(parameters, Folded(counts.subspan(at, values), largest), reference);
    Table table(values);
    const double strength = parameters.strength_q16 / 65536.0;
    for (uint32_t value = 0; value < values; ++value) {
      const uint32_t known = std::min(value, largest);
      table[value] =
          static_cast<uint32_t>(std::floor(known * (1 - strength) + plain[known] * strength + 0.5));
    }
    if (parameters.has_nodata && !IsMixed(parameters, shape)) {
      table[parameters.nodata] = parameters.nodata;
    }
    tables.push_back(std::move(table));
  }
  return tables;
}

}  // namespace histeq::reference
