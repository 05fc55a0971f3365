// CLAHE: bilinear interpolation between the tables of four tiles.
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

// In one row the vertical weight is fixed: the tables above and below are blended once, and a pixel
// needs the left entry and its distance to the right one. Shorter runs than this are done pixel by
// pixel.
constexpr size_t kFewPixels = 48;

// Entries with 7 bits of fraction.
struct RowTables {
  alignas(64) int16_t left[256];
  alignas(64) int16_t distance[256];
};

void BlendRow(const Quad& quad, uint32_t weight_y, RowTables& row) {
  const hn::ScalableTag<int16_t> d;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const auto weight = hn::Set(d, static_cast<int16_t>(weight_y));
  const auto blend = [&](const void* upper, const void* lower, size_t at) HWY_ATTR {
    const auto a =
        hn::ShiftLeft<7>(hn::PromoteTo(d, hn::LoadU(d8, static_cast<const uint8_t*>(upper) + at)));
    const auto b =
        hn::ShiftLeft<7>(hn::PromoteTo(d, hn::LoadU(d8, static_cast<const uint8_t*>(lower) + at)));
    return hn::Add(a, hn::MulFixedPoint15(hn::Sub(b, a), weight));
  };
  for (size_t at = 0; at < 256; at += hn::Lanes(d)) {
    const auto left = blend(quad.upper_left, quad.lower_left, at);
    const auto right = blend(quad.upper_right, quad.lower_right, at);
    hn::Store(left, d, row.left + at);
    hn::Store(hn::Sub(right, left), d, row.distance + at);
  }
}

HWY_INLINE uint8_t Across(int16_t left, int16_t distance, uint16_t weight) {
  const int32_t blended = left + ((int32_t{distance} * weight + 16384) >> 15);
  return static_cast<uint8_t>((blended + 64) >> 7);
}

void AcrossTail(const RowTables& row, const uint16_t* weights_x, const uint8_t* in, size_t count,
                uint8_t* out) {
  for (size_t i = 0; i < count; ++i) {
    out[i] = Across(row.left[in[i]], row.distance[in[i]], weights_x[i]);
  }
}

#if HWY_TARGET == HWY_AVX3_DL

void Interpolate8(const Quad& quad, uint32_t weight_y, const uint16_t* weights_x, const uint8_t* in,
                  size_t count, uint8_t* out) {
  if (count < kFewPixels) return PlainInterpolate(quad, weight_y, weights_x, in, count, out);
  RowTables row;
  BlendRow(quad, weight_y, row);
  // Low and high bytes are looked up apart.
  alignas(64) uint8_t bytes[4][256];
  const __m512i even = _mm512_set1_epi16(255);
  for (size_t at = 0; at < 256; at += 64) {
    // Quarters of 16 bytes come out of the packing in this order.
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    const auto split = [&](const int16_t* table, uint8_t* low, uint8_t* high) HWY_ATTR {
      const __m512i a = _mm512_load_si512(table + at);
      const __m512i b = _mm512_load_si512(table + at + 32);
      const __m512i l = _mm512_packus_epi16(_mm512_and_si512(a, even), _mm512_and_si512(b, even));
      const __m512i h = _mm512_packus_epi16(_mm512_srli_epi16(a, 8), _mm512_srli_epi16(b, 8));
      _mm512_store_si512(low + at, _mm512_permutexvar_epi64(order, l));
      _mm512_store_si512(high + at, _mm512_permutexvar_epi64(order, h));
    };
    split(row.left, bytes[0], bytes[1]);
    split(row.distance, bytes[2], bytes[3]);
  }
  const ByteTable left_low(bytes[0]), left_high(bytes[1]);
  const ByteTable distance_low(bytes[2]), distance_high(bytes[3]);
  // Interleaving takes the lower or the upper half of each 128 bits; the order makes that the lower
  // or upper 32 pixels.
  const __m512i spread = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  const __m512i gather = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  const __m512i half = _mm512_set1_epi16(64);
  size_t i = 0;
  for (; i + 64 <= count; i += 64) {
    const Bytes index{_mm512_permutexvar_epi64(spread, _mm512_loadu_si512(in + i))};
    const __m512i ll = left_low.LookUp(index).raw;
    const __m512i lh = left_high.LookUp(index).raw;
    const __m512i dl = distance_low.LookUp(index).raw;
    const __m512i dh = distance_high.LookUp(index).raw;
    const __m512i w0 = _mm512_loadu_si512(weights_x + i);
    const __m512i w1 = _mm512_loadu_si512(weights_x + i + 32);
    __m512i r0 = _mm512_add_epi16(_mm512_unpacklo_epi8(ll, lh),
                                  _mm512_mulhrs_epi16(_mm512_unpacklo_epi8(dl, dh), w0));
    __m512i r1 = _mm512_add_epi16(_mm512_unpackhi_epi8(ll, lh),
                                  _mm512_mulhrs_epi16(_mm512_unpackhi_epi8(dl, dh), w1));
    r0 = _mm512_srli_epi16(_mm512_add_epi16(r0, half), 7);
    r1 = _mm512_srli_epi16(_mm512_add_epi16(r1, half), 7);
    _mm512_storeu_si512(out + i, _mm512_permutexvar_epi64(gather, _mm512_packus_epi16(r0, r1)));
  }
  AcrossTail(row, weights_x + i, in + i, count - i, out + i);
}

#elif HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2

void Interpolate8(const Quad& quad, uint32_t weight_y, const uint16_t* weights_x, const uint8_t* in,
                  size_t count, uint8_t* out) {
  if (count < kFewPixels) return PlainInterpolate(quad, weight_y, weights_x, in, count, out);
  RowTables row;
  BlendRow(quad, weight_y, row);
  const hn::ScalableTag<int16_t> d16;
  const hn::ScalableTag<int32_t> d32;
  const size_t lanes = hn::Lanes(d16);
  // Left entry in the lower half, distance in the upper: one load brings both.
  alignas(64) int32_t pairs[256];
  for (size_t at = 0; at < 256; at += lanes) {
    hn::StoreInterleaved2(hn::Load(d16, row.left + at), hn::Load(d16, row.distance + at), d16,
                          reinterpret_cast<int16_t*>(pairs + at));
  }
  const auto low = hn::Set(d32, 0xFFFF);
  const auto half = hn::Set(d16, 64);
  const hn::RebindToUnsigned<decltype(d16)> du16;
  const hn::Rebind<uint8_t, decltype(d16)> d8;
  // Loads of single entries beat gathers on most processors.
  constexpr size_t kBlock = 64;
  alignas(64) int32_t block[kBlock];
  size_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    // Packing takes four numbers of one vector and four of the next in turns: pixels are laid down
    // so that they come out in order.
    for (size_t vector = 0; vector < kBlock; vector += lanes) {
      for (size_t at = 0; at < lanes; at += 8) {
        uint64_t eight;
        std::memcpy(&eight, in + i + vector + at, 8);
        int32_t* first = block + vector + at / 2;
        int32_t* second = first + lanes / 2;
        first[0] = pairs[eight & 255];
        first[1] = pairs[(eight >> 8) & 255];
        first[2] = pairs[(eight >> 16) & 255];
        first[3] = pairs[(eight >> 24) & 255];
        second[0] = pairs[(eight >> 32) & 255];
        second[1] = pairs[(eight >> 40) & 255];
        second[2] = pairs[(eight >> 48) & 255];
        second[3] = pairs[eight >> 56];
      }
    }
    for (size_t at = 0; at < kBlock; at += lanes) {
      const auto first = hn::Load(d32, block + at);
      const auto second = hn::Load(d32, block + at + lanes / 2);
      const auto left = PackToShorts(hn::And(first, low), hn::And(second, low));
      const auto distance = PackToShorts(hn::ShiftRight<16>(first), hn::ShiftRight<16>(second));
      const auto weight = hn::BitCast(d16, hn::LoadU(du16, weights_x + i + at));
      const auto blended = hn::Add(left, hn::MulFixedPoint15(distance, weight));
      hn::StoreU(hn::DemoteTo(d8, hn::ShiftRight<7>(hn::Add(blended, half))), d8, out + i + at);
    }
  }
  for (; i < count; ++i) {
    out[i] = Across(row.left[in[i]], row.distance[in[i]], weights_x[i]);
  }
}

#else

void Interpolate8(const Quad& quad, uint32_t weight_y, const uint16_t* weights_x, const uint8_t* in,
                  size_t count, uint8_t* out) {
  if (count < kFewPixels) return PlainInterpolate(quad, weight_y, weights_x, in, count, out);
  RowTables row;
  BlendRow(quad, weight_y, row);
  AcrossTail(row, weights_x, in, count, out);
}

#endif

#else

void Interpolate8(const Quad& quad, uint32_t weight_y, const uint16_t* weights_x, const uint8_t* in,
                  size_t count, uint8_t* out) {
  PlainInterpolate(quad, weight_y, weights_x, in, count, out);
}

#endif  // HISTEQ_X86_VECTORS

#if HISTEQ_X86_VECTORS && HWY_TARGET <= HWY_AVX2

void Interpolate16(const Quad& quad, uint32_t weight_y, const uint32_t* weights_x,
                   const uint16_t* in, size_t count, uint16_t* out) {
  const hn::ScalableTag<uint32_t> du;
  const hn::ScalableTag<int32_t> d;
  const hn::ScalableTag<uint64_t> du64;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const size_t lanes = hn::Lanes(d);
  const auto* upper_left = static_cast<const uint16_t*>(quad.upper_left);
  const auto* upper_right = static_cast<const uint16_t*>(quad.upper_right);
  const auto* lower_left = static_cast<const uint16_t*>(quad.lower_left);
  const auto* lower_right = static_cast<const uint16_t*>(quad.lower_right);
  const auto low = hn::Set(du, 0xFFFF);
  const auto lower_weight = hn::Set(du, weight_y);
  const auto upper_weight = hn::Set(du, 65536 - weight_y);
  const auto whole = hn::Set(du, 1u << 24);
  const auto half = hn::Set(du64, uint64_t{1} << 39);
  // Loads of single entries beat gathers on most processors. Upper entry in the lower half, lower
  // entry in the upper.
  constexpr size_t kBlock = 64;
  alignas(64) uint32_t lefts[kBlock];
  alignas(64) uint32_t rights[kBlock];
  size_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    for (size_t at = 0; at < kBlock; at += 4) {
      uint64_t four;
      std::memcpy(&four, in + i + at, 8);
      const auto look_up = [&](size_t k) HWY_ATTR {
        const size_t sample = (four >> (16 * k)) & 65535;
        lefts[at + k] = upper_left[sample] | uint32_t{lower_left[sample]} << 16;
        rights[at + k] = upper_right[sample] | uint32_t{lower_right[sample]} << 16;
      };
      look_up(0);
      look_up(1);
      look_up(2);
      look_up(3);
    }
    for (size_t at = 0; at < kBlock; at += lanes) {
      const auto down = [&](const uint32_t* pairs) HWY_ATTR {
        const auto pair = hn::Load(du, pairs + at);
        return hn::Add(hn::Mul(hn::And(pair, low), upper_weight),
                       hn::Mul(hn::ShiftRight<16>(pair), lower_weight));
      };
      const auto left = down(lefts);
      const auto right = down(rights);
      const auto right_weight = hn::LoadU(du, weights_x + i + at);
      const auto left_weight = hn::Sub(whole, right_weight);
      const auto odd = [&](hn::Vec<decltype(du)> v) HWY_ATTR {
        return hn::BitCast(du, hn::ShiftRight<32>(hn::BitCast(du64, v)));
      };
      const auto blend = [&](hn::Vec<decltype(du)> a, hn::Vec<decltype(du)> wa,
                             hn::Vec<decltype(du)> b, hn::Vec<decltype(du)> wb) HWY_ATTR {
        return hn::ShiftRight<40>(hn::Add(hn::Add(hn::MulEven(a, wa), hn::MulEven(b, wb)), half));
      };
      const auto even_result = blend(left, left_weight, right, right_weight);
      const auto odd_result = blend(odd(left), odd(left_weight), odd(right), odd(right_weight));
      const auto result = hn::BitCast(d, hn::Or(even_result, hn::ShiftLeft<32>(odd_result)));
      hn::StoreU(hn::DemoteTo(d16, result), d16, out + i + at);
    }
  }
  PlainInterpolate(quad, weight_y, weights_x + i, in + i, count - i, out + i);
}

#else

void Interpolate16(const Quad& quad, uint32_t weight_y, const uint32_t* weights_x,
                   const uint16_t* in, size_t count, uint16_t* out) {
  PlainInterpolate(quad, weight_y, weights_x, in, count, out);
}

#endif

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
