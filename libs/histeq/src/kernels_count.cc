// Counting. The table of counters is memory whatever the target, so what counts is plain; vectors
// find the areas of one value.
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels_count.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "hwy/highway.h"
#include "lookup-inl.h"
#include "plain_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace histeq::internal {
namespace HWY_NAMESPACE {

#if HISTEQ_X86_VECTORS

// Areas of one value, such as borders and clipped skies, would wait for their counters all the
// time. Calls flat(value) or mixed(samples) for each block, and returns the samples in blocks.
constexpr size_t kBlock = 64;
template <typename Flat, typename Mixed>
HWY_INLINE size_t CountBlocks(const uint8_t* samples, size_t count, const Flat& flat,
                              const Mixed& mixed) {
  const hn::ScalableTag<uint8_t> d;
  size_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    const auto first = hn::Set(d, samples[i]);
    auto apart = hn::Zero(d);
    for (size_t at = 0; at < kBlock; at += hn::Lanes(d)) {
      apart = hn::Or(apart, hn::Xor(hn::LoadU(d, samples + i + at), first));
    }
    if (hn::AllTrue(d, hn::Eq(apart, hn::Zero(d)))) {
      flat(samples[i]);
    } else {
      mixed(samples + i);
    }
  }
  return i;
}

void Count8(const uint8_t* samples, size_t count, Counter8& counter) {
  const size_t done = CountBlocks(
      samples, count, [&](uint8_t value) { counter.tables[0][value] += kBlock; },
      [&](const uint8_t* block) { PlainCount8(block, kBlock, counter); });
  PlainCount8(samples + done, count - done, counter);
}

void CountPairs8(const uint8_t* samples, size_t count, uint32_t* pairs, uint64_t* histogram) {
  const size_t done = CountBlocks(
      samples, count, [&](uint8_t value) { pairs[value * 257] += kBlock / 2; },
      [&](const uint8_t* block) { PlainCountPairs8(block, kBlock, pairs, histogram); });
  PlainCountPairs8(samples + done, count - done, pairs, histogram);
}

#else

void Count8(const uint8_t* samples, size_t count, Counter8& counter) {
  PlainCount8(samples, count, counter);
}

void CountPairs8(const uint8_t* samples, size_t count, uint32_t* pairs, uint64_t* histogram) {
  PlainCountPairs8(samples, count, pairs, histogram);
}

#endif  // HISTEQ_X86_VECTORS

void FlushPairs8(uint32_t* pairs, uint64_t* histogram) {
  uint32_t firsts[256] = {};
  for (size_t second = 0; second < 256; ++second) {
    const uint32_t* row = pairs + second * 256;
    uint32_t seconds = 0;
    for (size_t first = 0; first < 256; ++first) {
      firsts[first] += row[first];
      seconds += row[first];
    }
    histogram[second] += seconds;
  }
  for (size_t first = 0; first < 256; ++first) histogram[first] += firsts[first];
  std::memset(pairs, 0, 65536 * sizeof(*pairs));
}

CountKernels GetCountKernels() {
  return {&Count8, &PlainFlush8, &CountPairs8, &FlushPairs8, &PlainCount16, &PlainFlush16};
}

}  // namespace HWY_NAMESPACE
}  // namespace histeq::internal
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace histeq::internal {

HWY_EXPORT(GetCountKernels);
CountKernels ActiveCountKernels() { return HWY_DYNAMIC_DISPATCH(GetCountKernels)(); }

}  // namespace histeq::internal
#endif  // HWY_ONCE
