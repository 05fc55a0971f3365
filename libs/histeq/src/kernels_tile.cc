// Tables of CLAHE. A 16-bit tile may have far more bins than pixels, so bins are looked at in
// blocks, of which the empty ones are passed over. Plain loops over a known number: compilers make
// vectors of them, for each target its own.
#include <algorithm>
#include <cstring>
#include <iterator>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels_tile.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "hwy/highway.h"
#include "kernels.h"
#include "lookup-inl.h"

HWY_BEFORE_NAMESPACE();
namespace histeq::internal {
namespace HWY_NAMESPACE {

uint64_t SumBlocks(const uint64_t* counts, uint64_t bins, uint64_t* block_sums) {
  uint64_t total = 0;
  for (uint64_t begin = 0; begin < bins; begin += kBlockBins) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < kBlockBins; ++i) sum += counts[begin + i];
    block_sums[begin / kBlockBins] = sum;
    total += sum;
  }
  return total;
}

uint64_t Excess(const uint64_t* counts, uint64_t bins, const uint64_t* block_sums, uint64_t limit) {
  uint64_t excess = 0;
  for (uint64_t begin = 0; begin < bins; begin += kBlockBins) {
    if (block_sums[begin / kBlockBins] <= limit) continue;
    for (uint64_t i = 0; i < kBlockBins; ++i) {
      const uint64_t count = counts[begin + i];
      excess += count > limit ? count - limit : 0;
    }
  }
  return excess;
}

#if HISTEQ_X86_VECTORS

HWY_INLINE void Scale(const ScaledSums& scaled, const uint32_t* sums, uint16_t* entries) {
  const ScaledSums::Once once = scaled.once();
  const hn::ScalableTag<uint32_t> d;
  const hn::ScalableTag<int32_t> ds;
  const hn::Rebind<uint16_t, decltype(ds)> d16;
  const hn::ScalableTag<uint64_t> d64;
  const hn::ScalableTag<int64_t> ds64;
  const auto mantissa = hn::Set(d, once.mantissa);
  const auto half = hn::Set(d64, once.half);
  const auto fraction = hn::Set(d64, 2 * once.half - 1);
  const auto error = hn::Set(d64, once.error);
  const auto last = hn::Set(d64, once.window - 1);
  // Negative where a sum has to be rounded twice.
  auto twice = hn::Set(d64, once.window == 0 ? ~uint64_t{0} : 0);
  const auto scale = [&](hn::Vec<decltype(d)> four) HWY_ATTR {
    const auto shifted = hn::Add(hn::MulEven(four, mantissa), half);
    const auto above = hn::Sub(hn::And(shifted, fraction), error);
    twice = hn::Or(twice, hn::Or(above, hn::Sub(last, above)));
    return hn::ShiftRightSame(shifted, static_cast<int>(once.shift));
  };
  for (size_t i = 0; i < kBlockBins; i += hn::Lanes(d)) {
    const auto all = hn::Load(d, sums + i);
    const auto even = scale(all);
    const auto odd = scale(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(d64, all))));
    const auto both = hn::BitCast(ds, hn::Or(even, hn::ShiftLeft<32>(odd)));
    hn::StoreU(hn::DemoteTo(d16, both), d16, entries + i);
  }
  if (hn::AllFalse(ds64, hn::MaskFromVec(hn::BroadcastSignBit(hn::BitCast(ds64, twice))))) return;
  for (size_t i = 0; i < kBlockBins; ++i) entries[i] = static_cast<uint16_t>(scaled(sums[i]));
}

#else

void Scale(const ScaledSums& scaled, const uint32_t* sums, uint16_t* entries) {
  for (size_t i = 0; i < kBlockBins; ++i) entries[i] = static_cast<uint16_t>(scaled(sums[i]));
}

#endif  // HISTEQ_X86_VECTORS

// Blocks go through each step together: a vector read right after its parts were written would wait
// for them.
void SumUp(const Spread& spread, const ScaledSums& scaled, uint64_t bins, const uint64_t* counts,
           const uint64_t* block_sums, uint16_t* table) {
  constexpr uint64_t kTogether = 16;
  const auto limit = static_cast<int32_t>(std::min<uint64_t>(spread.limit, 1 << 24));
  const auto each = static_cast<int32_t>(spread.each);
  uint64_t next = spread.next;
  uint64_t left = spread.left;
  uint32_t sum = 0;
  uint16_t entry = 0;
  alignas(64) uint32_t sums[kTogether * kBlockBins];
  for (uint64_t begin = 0; begin < bins; begin += std::size(sums)) {
    const uint64_t some = std::min<uint64_t>(bins - begin, std::size(sums));
    // Empty blocks that get nothing are passed over.
    uint64_t empty = 0;
    for (uint64_t i = 0; i < some; i += kBlockBins) {
      if (each == 0 && block_sums[(begin + i) / kBlockBins] == 0) {
        empty |= uint64_t{1} << (i / kBlockBins);
        std::memset(sums + i, 0, kBlockBins * sizeof(*sums));
        continue;
      }
      for (uint64_t k = 0; k < kBlockBins; ++k) {
        const auto count = static_cast<int32_t>(counts[begin + i + k]);
        sums[i + k] = static_cast<uint32_t>((count < limit ? count : limit) + each);
      }
    }
    for (; next < begin + some; next = --left == 0 ? UINT64_MAX : next + spread.step) {
      ++sums[next - begin];
      empty &= ~(uint64_t{1} << ((next - begin) / kBlockBins));
    }
    for (uint64_t i = 0; i < some; i += kBlockBins) {
      if ((empty >> (i / kBlockBins) & 1) != 0) continue;
      for (uint64_t k = i; k < i + kBlockBins; ++k) sums[k] = sum += sums[k];
    }
    for (uint64_t i = 0; i < some; i += kBlockBins) {
      uint16_t* entries = table + begin + i;
      if ((empty >> (i / kBlockBins) & 1) != 0) {
        for (uint64_t k = 0; k < kBlockBins; ++k) entries[k] = entry;
      } else {
        Scale(scaled, sums + i, entries);
        entry = entries[kBlockBins - 1];
      }
    }
  }
}

TileKernels GetTileKernels() { return {&SumBlocks, &Excess, &SumUp}; }

}  // namespace HWY_NAMESPACE
}  // namespace histeq::internal
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace histeq::internal {

HWY_EXPORT(GetTileKernels);
TileKernels ActiveTileKernels() {
  UseEnvironment();
  return HWY_DYNAMIC_DISPATCH(GetTileKernels)();
}

}  // namespace histeq::internal
#endif  // HWY_ONCE
