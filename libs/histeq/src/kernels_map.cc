// Table lookups.
#include <cstdint>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels_map.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "lookup-inl.h"
#include "plain_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace histeq::internal {
namespace HWY_NAMESPACE {

#if HISTEQ_X86_VECTORS

// Fewer samples than this are not worth loading the whole table for.
constexpr size_t kFewSamples = 128;
// As many are written past the caches, which could not hold them until somebody reads them.
constexpr size_t kStreamed = size_t{1} << 25;

void Map8(const uint8_t* table, const uint8_t* in, size_t count, uint8_t* out) {
  if (count < kFewSamples) return PlainMap(table, in, count, out);
  const hn::ScalableTag<uint8_t> d;
  const size_t lanes = hn::Lanes(d);
  const ByteTable lookup(table);
  size_t i = 0;
  if (count >= kStreamed && in != out) {
    i = (64 - reinterpret_cast<uintptr_t>(out) % 64) % 64;
    PlainMap(table, in, i, out);
    for (; i + lanes <= count; i += lanes) {
      hn::Stream(lookup.LookUp(hn::LoadU(d, in + i)), d, out + i);
    }
    hwy::FlushStream();
  }
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(lookup.LookUp(hn::LoadU(d, in + i)), d, out + i);
  }
  PlainMap(table, in + i, count - i, out + i);
}

#else

void Map8(const uint8_t* table, const uint8_t* in, size_t count, uint8_t* out) {
  PlainMap(table, in, count, out);
}

#endif  // HISTEQ_X86_VECTORS

// Scalar loads beat gathers here: a sample's 16 bits have to be put together again otherwise.
void Map16(const uint16_t* table, const uint16_t* in, size_t count, uint16_t* out) {
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    uint64_t four;
    std::memcpy(&four, in + i, 8);
    const uint64_t mapped =
        uint64_t{table[four & 65535]} | uint64_t{table[(four >> 16) & 65535]} << 16 |
        uint64_t{table[(four >> 32) & 65535]} << 32 | uint64_t{table[four >> 48]} << 48;
    std::memcpy(out + i, &mapped, 8);
  }
  PlainMap(table, in + i, count - i, out + i);
}

MapKernels GetMapKernels() { return {&Map8, &Map16}; }

}  // namespace HWY_NAMESPACE
}  // namespace histeq::internal
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace histeq::internal {

HWY_EXPORT(GetMapKernels);
MapKernels ActiveMapKernels() { return HWY_DYNAMIC_DISPATCH(GetMapKernels)(); }

}  // namespace histeq::internal
#endif  // HWY_ONCE
