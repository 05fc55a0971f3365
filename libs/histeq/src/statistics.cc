#include "histeq/statistics.h"

#include <algorithm>
#include <cmath>

#include "layout.h"

namespace histeq {

uint64_t Statistics::BytesFor(const EqualizeParameters& parameters, const ImageShape& shape) {
  return internal::TableCount(parameters, shape) * SampleValues(shape) * sizeof(uint64_t);
}

Statistics Statistics::Create(const EqualizeParameters& parameters, const ImageShape& shape) {
  Statistics statistics;
  statistics.words_ = Buffer<uint64_t>::Zeros(BytesFor(parameters, shape) / sizeof(uint64_t));
  // Without scratch the kernels count slower, not differently. Tiles are not all of one size.
  const uint64_t pixels = uint64_t{shape.width} * shape.height / internal::TileCount(parameters);
  if (pixels + pixels / 2 >= internal::kLargeRegion) {
    statistics.scratch_ = Buffer<uint32_t>::Zeros((shape.bits_per_sample == 8 ? 1 : 2) * 65536);
  }
  return statistics;
}

Statistics Statistics::FromWords(const EqualizeParameters& parameters, const ImageShape& shape,
                                 std::span<const uint64_t> words) {
  if (words.size() != BytesFor(parameters, shape) / sizeof(uint64_t)) return Statistics();
  Statistics statistics = Create(parameters, shape);
  if (statistics.valid()) std::copy(words.begin(), words.end(), statistics.words_.data());
  return statistics;
}

bool Statistics::Merge(const Statistics& other) {
  const std::span<const uint64_t> theirs = other.words();
  const std::span<uint64_t> ours = mutable_words();
  if (theirs.size() != ours.size()) return false;
  for (size_t i = 0; i < ours.size(); ++i) ours[i] += theirs[i];
  return true;
}

Summary SummaryOf(std::span<const uint64_t> histogram) {
  Summary summary;
  double sum = 0;
  for (size_t value = 0; value < histogram.size(); ++value) {
    if (histogram[value] == 0) continue;
    if (summary.count == 0) summary.minimum = static_cast<uint32_t>(value);
    summary.maximum = static_cast<uint32_t>(value);
    summary.count += histogram[value];
    sum += static_cast<double>(histogram[value]) * static_cast<double>(value);
  }
  if (summary.count == 0) return summary;
  const double count = static_cast<double>(summary.count);
  summary.mean = sum / count;
  double squares = 0;
  for (size_t value = 0; value < histogram.size(); ++value) {
    if (histogram[value] == 0) continue;
    const double share = static_cast<double>(histogram[value]) / count;
    const double deviation = static_cast<double>(value) - summary.mean;
    squares += share * deviation * deviation;
    summary.entropy -= share * std::log2(share);
  }
  summary.standard_deviation = std::sqrt(squares);
  // One value gives -0.
  summary.entropy = std::max(summary.entropy, 0.0);
  return summary;
}

uint32_t PercentileOf(std::span<const uint64_t> histogram, uint32_t percentile_q4) {
  uint64_t total = 0;
  for (const uint64_t count : histogram) total += count;
  if (total == 0) return 0;
  const auto wanted = static_cast<uint64_t>(
      (static_cast<unsigned __int128>(total) * percentile_q4 + 999'999) / 1'000'000);
  uint64_t seen = 0;
  for (size_t value = 0; value < histogram.size(); ++value) {
    seen += histogram[value];
    if (seen != 0 && seen >= wanted) return static_cast<uint32_t>(value);
  }
  return static_cast<uint32_t>(histogram.size()) - 1;
}

}  // namespace histeq
