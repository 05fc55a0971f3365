// Counts of samples: what is learned from an image before it is changed.
#ifndef HISTEQ_STATISTICS_H_
#define HISTEQ_STATISTICS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "histeq/buffer.h"
#include "histeq/parameters.h"

namespace histeq {

// Histograms of an image or of a part of it, as flat 64-bit counts: one histogram of 256 or 65536
// bins; three for Color::kPerChannel; one for each tile (rows of tiles from the top, channels
// within a tile) for Method::kClahe. Statistics of parts merge, in any order, into the statistics
// of the whole. Movable. An object may be written by one thread at a time.
class Statistics {
 public:
  // An empty object: valid() is false.
  Statistics() = default;

  // Counts of zero for this image; not valid() when memory is short. `parameters` and `shape`
  // passed FindProblem.
  static Statistics Create(const EqualizeParameters& parameters, const ImageShape& shape);

  // Counts that were words() somewhere; not valid() when their number is not this image's, or
  // memory is short.
  static Statistics FromWords(const EqualizeParameters& parameters, const ImageShape& shape,
                              std::span<const uint64_t> words);

  // Bytes that words() takes. 16-bit CLAHE takes 512 KiB for each tile: look before creating.
  static uint64_t BytesFor(const EqualizeParameters& parameters, const ImageShape& shape);

  bool valid() const { return !words_.empty(); }

  // Adds the counts of another part of the same image under the same parameters. False, and nothing
  // done, when the sizes differ.
  bool Merge(const Statistics& other);

  // The counts, for serialisation or for reading.
  std::span<const uint64_t> words() const { return words_.span(); }
  std::span<uint64_t> mutable_words() { return words_.span(); }

  // 32-bit counters that AccumulateRows uses and leaves zero; may be empty.
  std::span<uint32_t> scratch() { return scratch_.span(); }

 private:
  Buffer<uint64_t> words_;
  Buffer<uint32_t> scratch_;
};

// What a histogram says about its image. For people: the numbers are floating point and take no
// part in any mapping.
struct Summary {
  uint64_t count = 0;
  // Smallest and largest value that occurs.
  uint32_t minimum = 0;
  uint32_t maximum = 0;
  double mean = 0;
  // Of the population (divided by count).
  double standard_deviation = 0;
  // Bits per sample, 0 to 16.
  double entropy = 0;
};

// Summary of one histogram; bin i counts value i. All zero for an empty one. Thread-safe.
Summary SummaryOf(std::span<const uint64_t> histogram);

// The smallest value v so that at least ceil(count * percentile) samples are <= v, at least one;
// percentile in percent times 10000, 0 to 1'000'000. 0 for an empty histogram. Integer arithmetic:
// the same everywhere. Thread-safe.
uint32_t PercentileOf(std::span<const uint64_t> histogram, uint32_t percentile_q4);

}  // namespace histeq

#endif  // HISTEQ_STATISTICS_H_
