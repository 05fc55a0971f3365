// A table of 256 bytes held in vector registers, and small pieces that Highway lacks. Included once
// for each target.
#if defined(HISTEQ_SRC_LOOKUP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HISTEQ_SRC_LOOKUP_INL_H_
#undef HISTEQ_SRC_LOOKUP_INL_H_
#else
#define HISTEQ_SRC_LOOKUP_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

// Whether the vector loops are built: they know how x86 instructions treat blocks of 128 bits.
// Other processors run the plain loops.
#undef HISTEQ_X86_VECTORS
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
#define HISTEQ_X86_VECTORS 1
#else
#define HISTEQ_X86_VECTORS 0
#endif

HWY_BEFORE_NAMESPACE();
namespace histeq::internal {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#if HISTEQ_X86_VECTORS

using Bytes = hn::Vec<hn::ScalableTag<uint8_t>>;
using Shorts = hn::Vec<hn::ScalableTag<int16_t>>;
using Ints = hn::Vec<hn::ScalableTag<int32_t>>;

// Both within blocks of 128 bits, saturated.
HWY_INLINE Bytes PackToBytes(Shorts lower, Shorts upper) {
#if HWY_TARGET <= HWY_AVX3
  return Bytes{_mm512_packus_epi16(lower.raw, upper.raw)};
#elif HWY_TARGET == HWY_AVX2
  return Bytes{_mm256_packus_epi16(lower.raw, upper.raw)};
#else
  return Bytes{_mm_packus_epi16(lower.raw, upper.raw)};
#endif
}

#if HWY_TARGET <= HWY_SSE4
// From 64 bits that hold 16, four vectors to one, in the same order as bytes below.
HWY_INLINE hn::Vec<hn::ScalableTag<uint16_t>> PackToWords(Ints a, Ints b, Ints c, Ints d) {
#if HWY_TARGET <= HWY_AVX3
  return {
      _mm512_packus_epi32(_mm512_packus_epi32(a.raw, b.raw), _mm512_packus_epi32(c.raw, d.raw))};
#elif HWY_TARGET == HWY_AVX2
  return {
      _mm256_packus_epi32(_mm256_packus_epi32(a.raw, b.raw), _mm256_packus_epi32(c.raw, d.raw))};
#else
  return {_mm_packus_epi32(_mm_packus_epi32(a.raw, b.raw), _mm_packus_epi32(c.raw, d.raw))};
#endif
}
#endif

HWY_INLINE Shorts PackToShorts(Ints lower, Ints upper) {
  return hn::ReorderDemote2To(hn::ScalableTag<int16_t>(), lower, upper);
}

#if HWY_TARGET == HWY_AVX3_DL

// Two lookups among 128 bytes each, and a choice by the highest bit.
class ByteTable {
 public:
  explicit ByteTable(const uint8_t* table)
      : t0_(_mm512_loadu_si512(table)),
        t1_(_mm512_loadu_si512(table + 64)),
        t2_(_mm512_loadu_si512(table + 128)),
        t3_(_mm512_loadu_si512(table + 192)) {}

  HWY_INLINE Bytes LookUp(Bytes index) const {
    const __m512i low = _mm512_permutex2var_epi8(t0_, index.raw, t1_);
    const __m512i high = _mm512_permutex2var_epi8(t2_, index.raw, t3_);
    return Bytes{_mm512_mask_mov_epi8(low, _mm512_movepi8_mask(index.raw), high)};
  }

 private:
  __m512i t0_, t1_, t2_, t3_;
};

#else

// Sixteen shuffles of 16 bytes. A shuffle gives 0 where the index is negative; the index goes down
// by 16 from one to the next and stays negative, so that of the tables' differences (as XOR) those
// up to the wanted one are collected. The upper half of the indices takes its own turn.
class ByteTable {
 public:
  explicit ByteTable(const uint8_t* table) {
    const hn::Full128<uint8_t> block;
    for (size_t half = 0; half < 2; ++half) {
      auto before = hn::Zero(block);
      for (size_t k = 0; k < 8; ++k) {
        const auto piece = hn::LoadU(block, table + half * 128 + k * 16);
        hn::Store(hn::Xor(piece, before), block, differences_[half * 8 + k]);
        before = piece;
      }
    }
  }

  HWY_INLINE Bytes LookUp(Bytes index) const {
    Bytes result = hn::Zero(hn::ScalableTag<uint8_t>());
    Half<0>(index, result);
    Half<1>(hn::Xor(index, Middle()), result);
    return result;
  }

 private:
  static HWY_INLINE Bytes Middle() { return hn::Set(hn::ScalableTag<uint8_t>(), 128); }

  static HWY_INLINE Bytes Down(Bytes index) {
    const hn::ScalableTag<uint8_t> d;
    const hn::RebindToSigned<decltype(d)> ds;
    return hn::BitCast(d, hn::SaturatedSub(hn::BitCast(ds, index), hn::Set(ds, int8_t{16})));
  }

  HWY_INLINE Bytes Difference(size_t k) const {
    return hn::LoadDup128(hn::ScalableTag<uint8_t>(), differences_[k]);
  }

  template <size_t kHalf>
  HWY_INLINE void Half(Bytes index, Bytes& result) const {
    for (size_t k = 0; k < 8; ++k) {
      if (k != 0) index = Down(index);
      result = hn::Xor(result, hn::TableLookupBytesOr0(Difference(kHalf * 8 + k), index));
    }
  }

  alignas(16) uint8_t differences_[16][16];
};

#endif  // HWY_TARGET == HWY_AVX3_DL

#endif  // HISTEQ_X86_VECTORS

}  // namespace HWY_NAMESPACE
}  // namespace histeq::internal
HWY_AFTER_NAMESPACE();

#endif  // HISTEQ_SRC_LOOKUP_INL_H_
