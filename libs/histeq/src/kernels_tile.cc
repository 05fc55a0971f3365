// Tables of CLAHE. A 16-bit tile may have far more bins than pixels, so bins are looked at in
// blocks, of which the empty ones are passed over. Plain loops over a known number: compilers make
// vectors of them, for each target its own.
#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels_tile.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "hwy/highway.h"
#include "kernels.h"

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

void SumUp(Spread spread, const ScaledSums& scaled, uint64_t bins, const uint64_t* counts,
           const uint64_t* block_sums, uint32_t* table) {
  const auto limit = static_cast<int32_t>(std::min<uint64_t>(spread.limit, 1 << 24));
  const auto each = static_cast<int32_t>(spread.each);
  uint32_t sum = 0;
  uint32_t entry = 0;
  for (uint64_t begin = 0; begin < bins; begin += kBlockBins) {
    if (block_sums[begin / kBlockBins] == 0 && each == 0 && spread.next >= begin + kBlockBins) {
      for (uint64_t i = 0; i < kBlockBins; ++i) table[begin + i] = entry;
      continue;
    }
    int32_t spread_counts[kBlockBins];
    uint32_t sums[kBlockBins];
    for (uint64_t i = 0; i < kBlockBins; ++i) {
      const auto count = static_cast<int32_t>(counts[begin + i]);
      spread_counts[i] = (count < limit ? count : limit) + each;
    }
    for (uint64_t at = spread.next; spread.Takes(begin + kBlockBins); at = spread.next) {
      ++spread_counts[at - begin];
    }
    for (uint64_t i = 0; i < kBlockBins; ++i) {
      sum += static_cast<uint32_t>(spread_counts[i]);
      sums[i] = sum;
    }
    scaled.Block(sums, table + begin);
    entry = table[begin + kBlockBins - 1];
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
