// CLAHE: bilinear interpolation between the tables of four tiles.
#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels_interpolate.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "hwy/highway.h"
#include "lookup-inl.h"
#include "plain_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace histeq::internal {
namespace HWY_NAMESPACE {

#if HISTEQ_X86_VECTORS

// Four entries of one value, as TableRow::quads has them.
template <typename Sample>
struct QuadOf;
template <>
struct QuadOf<uint8_t> {
  using Type = uint32_t;
};
template <>
struct QuadOf<uint16_t> {
  using Type = uint64_t;
};

// Pixels that are looked up before they are computed with: a vector read right after its parts were
// written would wait for them.
constexpr size_t kBlock = 256;

template <typename Sample>
using Block = typename QuadOf<Sample>::Type[kBlock];

// Loads of single entries beat gathers on most processors, and loads of several samples at once
// those of one.
template <typename Sample, typename Quad, typename LookUp>
HWY_INLINE void LookUpAll(const Sample* in, size_t count, Quad* block, const LookUp& look_up) {
  constexpr size_t kTogether = 8 / sizeof(Sample);
  constexpr size_t kBits = 8 * sizeof(Sample);
  size_t i = 0;
  for (; i + kTogether <= count; i += kTogether) {
    uint64_t samples;
    std::memcpy(&samples, in + i, 8);
    for (size_t k = 0; k < kTogether; ++k) {
      block[i + k] = look_up(static_cast<Sample>(samples >> (kBits * k)));
    }
  }
  for (; i < count; ++i) block[i] = look_up(in[i]);
}

template <typename Sample>
HWY_INLINE void LookUpStretch(const TableRow<Sample>& row, const Stretch& stretch, const Sample* in,
                              size_t count, typename QuadOf<Sample>::Type* block) {
  using Quad = typename QuadOf<Sample>::Type;
  constexpr size_t kBits = 8 * sizeof(Sample);
  if (row.quads != nullptr) {
    const Sample* quads = row.quads + stretch.cell * row.step * 4;
    return LookUpAll(in, count, block, [&](Sample sample) HWY_ATTR {
      Quad quad;
      std::memcpy(&quad, quads + size_t{sample} * 4, sizeof(quad));
      return quad;
    });
  }
  const Sample* upper_left = row.upper + stretch.left * row.step;
  const Sample* upper_right = row.upper + stretch.right * row.step;
  const Sample* lower_left = row.lower + stretch.left * row.step;
  const Sample* lower_right = row.lower + stretch.right * row.step;
  LookUpAll(in, count, block, [&](Sample sample) HWY_ATTR {
    return Quad{upper_left[sample]} | Quad{lower_left[sample]} << kBits |
           Quad{upper_right[sample]} << (2 * kBits) | Quad{lower_right[sample]} << (3 * kBits);
  });
}

// Packing takes 32 bits of each of four vectors in turns, within 128 bits: this puts them in order.
template <class V>
HWY_INLINE V InOrder(V packed) {
  const hn::ScalableTag<int32_t> d;
  const size_t blocks = hn::Lanes(d) / 4;
  alignas(64) int32_t order[hn::MaxLanes(d)];
  for (size_t i = 0; i < hn::Lanes(d); ++i) {
    order[i] = static_cast<int32_t>(i % blocks * 4 + i / blocks);
  }
  const auto indices = hn::SetTableIndices(d, order);
  return hn::BitCast(hn::DFromV<V>(), hn::TableLookupLanes(hn::BitCast(d, packed), indices));
}

// A vector of samples out of four vectors of quads.
HWY_INLINE Bytes Blend(const uint32_t* quads, uint32_t weight_y, const uint16_t* weights_x) {
  const hn::ScalableTag<int16_t> d;
  const hn::ScalableTag<uint32_t> du32;
  const hn::ScalableTag<int32_t> d32;
  const hn::Rebind<uint16_t, decltype(du32)> dx;
  const auto down = hn::Set(d, static_cast<int16_t>(weight_y));
  const auto low = hn::Set(du32, 0x00FF00FF);
  const auto half = hn::Set(d, 64);
  const size_t lanes = hn::Lanes(du32);
  const auto blend = [&](size_t at) HWY_ATTR {
    const auto quad = hn::Load(du32, quads + at);
    const auto upper = hn::BitCast(d, hn::And(quad, low));
    const auto lower = hn::BitCast(d, hn::And(hn::ShiftRight<8>(quad), low));
    // Left in the lower 16 bits, right in the upper.
    const auto sides = hn::Add(hn::ShiftLeft<7>(upper),
                               hn::MulFixedPoint15(hn::ShiftLeft<7>(hn::Sub(lower, upper)), down));
    const auto right = hn::BitCast(d, hn::ShiftRight<16>(hn::BitCast(du32, sides)));
    const auto across = hn::BitCast(d, hn::PromoteTo(du32, hn::LoadU(dx, weights_x + at)));
    const auto blended = hn::Add(sides, hn::MulFixedPoint15(hn::Sub(right, sides), across));
    // The upper 16 bits go.
    return hn::BitCast(
        d32, hn::ShiftRight<23>(hn::ShiftLeft<16>(hn::BitCast(du32, hn::Add(blended, half)))));
  };
  return InOrder(PackToBytes(PackToShorts(blend(0), blend(lanes)),
                             PackToShorts(blend(2 * lanes), blend(3 * lanes))));
}

#if HWY_TARGET <= HWY_SSE4
HWY_INLINE hn::Vec<hn::ScalableTag<uint16_t>> Blend(const uint64_t* quads, uint32_t weight_y,
                                                    const uint32_t* weights_x) {
  const hn::ScalableTag<uint32_t> d;
  const hn::ScalableTag<int32_t> d32;
  const hn::ScalableTag<uint64_t> d64;
  const hn::Rebind<uint32_t, decltype(d64)> dx;
  const auto low = hn::Set(d, 0xFFFF);
  const auto lower_weight = hn::Set(d, weight_y);
  const auto upper_weight = hn::Set(d, 65536 - weight_y);
  const auto whole = hn::Set(d, 1u << 24);
  const auto half = hn::Set(d64, uint64_t{1} << 39);
  const size_t lanes = hn::Lanes(d64);
  const auto blend = [&](size_t at) HWY_ATTR {
    const auto quad = hn::BitCast(d, hn::Load(d64, quads + at));
    // Left in the lower 32 bits, right in the upper.
    const auto sides = hn::Add(hn::Mul(hn::And(quad, low), upper_weight),
                               hn::Mul(hn::ShiftRight<16>(quad), lower_weight));
    const auto right = hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(d64, sides)));
    const auto across = hn::BitCast(d, hn::PromoteTo(d64, hn::LoadU(dx, weights_x + at)));
    const auto sum =
        hn::Add(hn::MulEven(sides, hn::Sub(whole, across)), hn::MulEven(right, across));
    return hn::BitCast(d32, hn::ShiftRight<40>(hn::Add(sum, half)));
  };
  return InOrder(PackToWords(blend(0), blend(lanes), blend(2 * lanes), blend(3 * lanes)));
}
#endif

template <typename Sample>
HWY_INLINE void Interpolate(const TableRow<Sample>& row, const Stretch* stretches,
                            const typename Weights<Sample>::X* weights_x, const Sample* in,
                            size_t count, Sample* out) {
  const hn::ScalableTag<Sample> d;
  const size_t lanes = hn::Lanes(d);
  alignas(64) Block<Sample> block;
  uint32_t left = stretches->count;
  for (size_t done = 0; done < count; done += kBlock) {
    const size_t pixels = std::min(kBlock, count - done);
    for (size_t i = 0; i < pixels;) {
      if (left == 0) left = (++stretches)->count;
      const size_t some = std::min<size_t>(left, pixels - i);
      LookUpStretch(row, *stretches, in + done + i, some, block + i);
      i += some;
      left -= static_cast<uint32_t>(some);
    }
    size_t i = 0;
    for (; i + lanes <= pixels; i += lanes) {
      hn::StoreU(Blend(block + i, row.weight_y, weights_x + done + i), d, out + done + i);
    }
    if (i == pixels) continue;
    std::fill(block + pixels, block + i + lanes, 0);
    alignas(64) Sample last[hn::MaxLanes(d)];
    hn::Store(Blend(block + i, row.weight_y, weights_x + done + i), d, last);
    std::memcpy(out + done + i, last, (pixels - i) * sizeof(Sample));
  }
}

#if HWY_TARGET == HWY_AVX3_DL

// The four tables stay in registers: no quads, and nothing to write and read again.
HWY_INLINE void InterpolateInRegisters(const TableRow<uint8_t>& row, const Stretch& stretch,
                                       const uint16_t* weights_x, const uint8_t* in, uint8_t* out) {
  const ByteTable upper_left(row.upper + stretch.left * row.step);
  const ByteTable upper_right(row.upper + stretch.right * row.step);
  const ByteTable lower_left(row.lower + stretch.left * row.step);
  const ByteTable lower_right(row.lower + stretch.right * row.step);
  const __m512i zero = _mm512_setzero_si512();
  const __m512i half = _mm512_set1_epi16(64);
  const __m512i weight_y = _mm512_set1_epi16(static_cast<int16_t>(row.weight_y));
  // Widening takes the lower or the upper half of each 128 bits: this order makes that the lower or
  // upper 32 pixels; the other puts them in order again.
  const __m512i spread = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  const __m512i gather = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  const auto down = [&](__m512i upper, __m512i lower) HWY_ATTR {
    const __m512i distance = _mm512_slli_epi16(_mm512_sub_epi16(lower, upper), 7);
    return _mm512_add_epi16(_mm512_slli_epi16(upper, 7), _mm512_mulhrs_epi16(distance, weight_y));
  };
  const auto across = [&](__m512i left, __m512i right, const uint16_t* weights) HWY_ATTR {
    const __m512i change =
        _mm512_mulhrs_epi16(_mm512_sub_epi16(right, left), _mm512_loadu_si512(weights));
    return _mm512_srli_epi16(_mm512_add_epi16(_mm512_add_epi16(left, change), half), 7);
  };
  for (size_t i = 0; i < stretch.count; i += 64) {
    const __mmask64 pixels = ~uint64_t{0} >> (64 - std::min<size_t>(stretch.count - i, 64));
    const Bytes index{_mm512_permutexvar_epi64(spread, _mm512_maskz_loadu_epi8(pixels, in + i))};
    const __m512i ul = upper_left.LookUp(index).raw;
    const __m512i ur = upper_right.LookUp(index).raw;
    const __m512i ll = lower_left.LookUp(index).raw;
    const __m512i lr = lower_right.LookUp(index).raw;
    const __m512i first =
        across(down(_mm512_unpacklo_epi8(ul, zero), _mm512_unpacklo_epi8(ll, zero)),
               down(_mm512_unpacklo_epi8(ur, zero), _mm512_unpacklo_epi8(lr, zero)), weights_x + i);
    const __m512i second = across(
        down(_mm512_unpackhi_epi8(ul, zero), _mm512_unpackhi_epi8(ll, zero)),
        down(_mm512_unpackhi_epi8(ur, zero), _mm512_unpackhi_epi8(lr, zero)), weights_x + i + 32);
    _mm512_mask_storeu_epi8(out + i, pixels,
                            _mm512_permutexvar_epi64(gather, _mm512_packus_epi16(first, second)));
  }
}

#endif  // HWY_TARGET == HWY_AVX3_DL

#endif  // HISTEQ_X86_VECTORS

void Interpolate8(const TableRow<uint8_t>& row, const Stretch* stretches, const uint16_t* weights_x,
                  const uint8_t* in, size_t count, uint8_t* out) {
#if HWY_TARGET == HWY_AVX3_DL
  for (size_t i = 0; i < count; i += stretches++->count) {
    InterpolateInRegisters(row, *stretches, weights_x + i, in + i, out + i);
  }
#elif HISTEQ_X86_VECTORS
  Interpolate(row, stretches, weights_x, in, count, out);
#else
  PlainInterpolate(row, stretches, weights_x, in, count, out);
#endif
}

void Interpolate16(const TableRow<uint16_t>& row, const Stretch* stretches,
                   const uint32_t* weights_x, const uint16_t* in, size_t count, uint16_t* out) {
#if HISTEQ_X86_VECTORS && HWY_TARGET <= HWY_SSE4
  Interpolate(row, stretches, weights_x, in, count, out);
#else
  PlainInterpolate(row, stretches, weights_x, in, count, out);
#endif
}

InterpolateKernels GetInterpolateKernels() { return {&Interpolate8, &Interpolate16}; }

}  // namespace HWY_NAMESPACE
}  // namespace histeq::internal
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace histeq::internal {

HWY_EXPORT(GetInterpolateKernels);
InterpolateKernels ActiveInterpolateKernels() {
  return HWY_DYNAMIC_DISPATCH(GetInterpolateKernels)();
}

}  // namespace histeq::internal
#endif  // HWY_ONCE
