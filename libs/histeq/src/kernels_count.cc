// Counting. The table of counters is memory whatever the target, so what counts is plain; vectors
// find the areas of one value.
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
// time.
void Count8(const uint8_t* samples, size_t count, Counter8& counter) {
  const hn::ScalableTag<uint8_t> d;
  constexpr size_t kBlock = 64;
  size_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    const auto first = hn::Set(d, samples[i]);
    auto apart = hn::Zero(d);
    for (size_t at = 0; at < kBlock; at += hn::Lanes(d)) {
      apart = hn::Or(apart, hn::Xor(hn::LoadU(d, samples + i + at), first));
    }
    if (hn::AllTrue(d, hn::Eq(apart, hn::Zero(d)))) {
      counter.tables[0][samples[i]] += kBlock;
    } else {
      PlainCount8(samples + i, kBlock, counter);
    }
  }
  PlainCount8(samples + i, count - i, counter);
}

#else

void Count8(const uint8_t* samples, size_t count, Counter8& counter) {
  PlainCount8(samples, count, counter);
}

#endif  // HISTEQ_X86_VECTORS

CountKernels GetCountKernels() { return {&Count8, &PlainFlush8, &PlainCount16, &PlainFlush16}; }

}  // namespace HWY_NAMESPACE
}  // namespace histeq::internal
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace histeq::internal {

HWY_EXPORT(GetCountKernels);
CountKernels ActiveCountKernels() { return HWY_DYNAMIC_DISPATCH(GetCountKernels)(); }

}  // namespace histeq::internal
#endif  // HWY_ONCE
