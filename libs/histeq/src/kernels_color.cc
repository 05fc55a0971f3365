// Taking one number out of interleaved pixels, and putting what became of it back.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels_color.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h
#include "hwy/highway.h"
#include "lookup-inl.h"
#include "plain_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace histeq::internal {
namespace HWY_NAMESPACE {

#if HISTEQ_X86_VECTORS

template <typename Sample>
using Samples = hn::Vec<hn::ScalableTag<Sample>>;

// The channels of as many pixels as a vector has lanes.
template <typename Sample>
struct Pixels {
  Samples<Sample> channel[4];
};

template <typename Sample, uint32_t kChannels>
HWY_INLINE Pixels<Sample> LoadPixels(const Sample* from) {
  const hn::ScalableTag<Sample> d;
  Pixels<Sample> p;
  if constexpr (kChannels == 1) {
    p.channel[0] = hn::LoadU(d, from);
  } else if constexpr (kChannels == 2) {
    hn::LoadInterleaved2(d, from, p.channel[0], p.channel[1]);
  } else if constexpr (kChannels == 3) {
    hn::LoadInterleaved3(d, from, p.channel[0], p.channel[1], p.channel[2]);
  } else {
    hn::LoadInterleaved4(d, from, p.channel[0], p.channel[1], p.channel[2], p.channel[3]);
  }
  return p;
}

template <typename Sample, uint32_t kChannels>
HWY_INLINE void StorePixels(const Pixels<Sample>& p, Sample* to) {
  const hn::ScalableTag<Sample> d;
  if constexpr (kChannels == 1) {
    hn::StoreU(p.channel[0], d, to);
  } else if constexpr (kChannels == 2) {
    hn::StoreInterleaved2(p.channel[0], p.channel[1], d, to);
  } else if constexpr (kChannels == 3) {
    hn::StoreInterleaved3(p.channel[0], p.channel[1], p.channel[2], d, to);
  } else {
    hn::StoreInterleaved4(p.channel[0], p.channel[1], p.channel[2], p.channel[3], d, to);
  }
}

// Pairs of 16-bit products, added to 32 bits: (red, green) and (blue, 1).
HWY_INLINE Bytes Luma(Bytes red, Bytes green, Bytes blue) {
  const hn::ScalableTag<uint8_t> d8;
  const hn::ScalableTag<int16_t> d16;
  const hn::ScalableTag<int32_t> d32;
  const Bytes zero = hn::Zero(d8);
  const Bytes one = hn::Set(d8, 1);
  const auto pair = [&](uint32_t first, uint32_t second) HWY_ATTR {
    return hn::BitCast(d16, hn::Set(d32, static_cast<int32_t>(first | (second << 16))));
  };
  const Shorts red_green = pair(kRedWeight, kGreenWeight);
  const Shorts blue_half = pair(kBlueWeight, 16384);
  const auto weigh = [&](Bytes rg, Bytes b1, bool upper) HWY_ATTR {
    const auto widen = [&](Bytes v) HWY_ATTR {
      return hn::BitCast(
          d16, upper ? hn::InterleaveUpper(d8, v, zero) : hn::InterleaveLower(d8, v, zero));
    };
    Ints unused = hn::Zero(d32);
    Ints sum = hn::ReorderWidenMulAccumulate(d32, widen(rg), red_green, hn::Zero(d32), unused);
    sum = hn::ReorderWidenMulAccumulate(d32, widen(b1), blue_half, sum, unused);
    return hn::ShiftRight<15>(sum);
  };
  const Bytes rg_low = hn::InterleaveLower(d8, red, green);
  const Bytes rg_high = hn::InterleaveUpper(d8, red, green);
  const Bytes b1_low = hn::InterleaveLower(d8, blue, one);
  const Bytes b1_high = hn::InterleaveUpper(d8, blue, one);
  return PackToBytes(PackToShorts(weigh(rg_low, b1_low, false), weigh(rg_low, b1_low, true)),
                     PackToShorts(weigh(rg_high, b1_high, false), weigh(rg_high, b1_high, true)));
}

using Words = hn::Vec<hn::ScalableTag<uint16_t>>;

HWY_INLINE Words Luma(Words red, Words green, Words blue) {
  const hn::ScalableTag<uint16_t> d16;
  const hn::ScalableTag<uint32_t> d32;
  const Words zero = hn::Zero(d16);
  const auto widen = [&](Words v, bool upper) HWY_ATTR {
    return hn::BitCast(
        d32, upper ? hn::InterleaveUpper(d16, v, zero) : hn::InterleaveLower(d16, v, zero));
  };
  const auto weigh = [&](bool upper) HWY_ATTR {
    auto sum = hn::Mul(widen(red, upper), hn::Set(d32, kRedWeight));
    sum = hn::Add(sum, hn::Mul(widen(green, upper), hn::Set(d32, kGreenWeight)));
    sum = hn::Add(sum, hn::Mul(widen(blue, upper), hn::Set(d32, kBlueWeight)));
    return hn::ShiftRight<15>(hn::Add(sum, hn::Set(d32, 16384)));
  };
  // Packing saturates signed numbers: move them there and back.
  const auto signed_half = [&](bool upper) HWY_ATTR {
    const hn::ScalableTag<int32_t> di;
    return hn::Sub(hn::BitCast(di, weigh(upper)), hn::Set(di, 32768));
  };
  const hn::ScalableTag<int16_t> ds16;
  const auto packed = hn::ReorderDemote2To(ds16, signed_half(false), signed_half(true));
  return hn::Xor(hn::BitCast(d16, packed), hn::Set(d16, 0x8000));
}

template <typename Sample>
HWY_INLINE Samples<Sample> PlaneOfPixels(const ExtractSpec& spec, const Pixels<Sample>& p) {
  if (!IsMixed(spec.plane)) return p.channel[static_cast<uint32_t>(spec.plane)];
  const hn::ScalableTag<Sample> d;
  const auto largest = hn::Set(d, static_cast<Sample>(spec.largest));
  const auto red = hn::Min(p.channel[0], largest);
  const auto green = hn::Min(p.channel[1], largest);
  const auto blue = hn::Min(p.channel[2], largest);
  return spec.plane == Plane::kLuma ? Luma(red, green, blue) : hn::Max(hn::Max(red, green), blue);
}

template <typename Sample>
HWY_INLINE auto NodataMask(uint32_t nodata, const Pixels<Sample>& p) {
  const auto value = hn::Set(hn::ScalableTag<Sample>(), static_cast<Sample>(nodata));
  return hn::And(hn::Eq(p.channel[0], value),
                 hn::And(hn::Eq(p.channel[1], value), hn::Eq(p.channel[2], value)));
}

HWY_INLINE Bytes LoadMask(const uint8_t* mask, uint8_t /*sample*/) {
  return hn::LoadU(hn::ScalableTag<uint8_t>(), mask);
}

HWY_INLINE Words LoadMask(const uint8_t* mask, uint16_t /*sample*/) {
  const hn::ScalableTag<uint16_t> d;
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<uint8_t, decltype(d)>(), mask));
}

template <typename Sample, uint32_t kChannels>
size_t ExtractChannels(const ExtractSpec& spec, const Sample* pixels, const uint8_t* mask,
                       size_t count, Sample* out) {
  const hn::ScalableTag<Sample> d;
  const size_t lanes = hn::Lanes(d);
  size_t skipped = 0;
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto p = LoadPixels<Sample, kChannels>(pixels + i * kChannels);
    auto plane = PlaneOfPixels(spec, p);
    const auto skip = [&](auto which) HWY_ATTR {
      skipped += hn::CountTrue(d, which);
      plane = hn::IfThenZeroElse(which, plane);
    };
    if (mask != nullptr || spec.skips_transparent || spec.skips_nodata) {
      auto which = hn::MaskFromVec(hn::Zero(d));
      if (mask != nullptr) which = hn::Eq(LoadMask(mask + i, Sample{}), hn::Zero(d));
      if (spec.skips_transparent) {
        which = hn::Or(which, hn::Eq(p.channel[kChannels - 1], hn::Zero(d)));
      }
      if constexpr (kChannels >= 3) {
        if (spec.skips_nodata) which = hn::Or(which, NodataMask(spec.nodata, p));
      }
      skip(which);
    }
    hn::StoreU(plane, d, out + i);
  }
  return skipped + PlainExtract(spec, pixels + i * kChannels, mask == nullptr ? nullptr : mask + i,
                                count - i, out + i);
}

template <typename Sample>
size_t Extract(const ExtractSpec& spec, const Sample* pixels, const uint8_t* mask, size_t count,
               Sample* out) {
  switch (spec.channels) {
    case 1:
      return ExtractChannels<Sample, 1>(spec, pixels, mask, count, out);
    case 2:
      return ExtractChannels<Sample, 2>(spec, pixels, mask, count, out);
    case 3:
      return ExtractChannels<Sample, 3>(spec, pixels, mask, count, out);
    default:
      return ExtractChannels<Sample, 4>(spec, pixels, mask, count, out);
  }
}

template <typename Sample, uint32_t kChannels>
void AddLumaChannels(const CombineSpec& spec, const Sample* in, const Sample* luma,
                     const Sample* mapped, size_t count, Sample* out) {
  const hn::ScalableTag<Sample> d;
  const size_t lanes = hn::Lanes(d);
  const auto largest = hn::Set(d, static_cast<Sample>(spec.largest));
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto p = LoadPixels<Sample, kChannels>(in + i * kChannels);
    const auto before = hn::LoadU(d, luma + i);
    const auto after = hn::LoadU(d, mapped + i);
    // One of the two is 0.
    const auto up = hn::SaturatedSub(after, before);
    const auto down = hn::SaturatedSub(before, after);
    auto keep = hn::MaskFromVec(hn::Zero(d));
    if (spec.keeps_nodata) keep = NodataMask(spec.nodata, p);
    for (uint32_t channel = 0; channel < 3; ++channel) {
      const auto sample = hn::Min(p.channel[channel], largest);
      const auto moved = hn::Min(hn::SaturatedSub(hn::SaturatedAdd(sample, up), down), largest);
      p.channel[channel] =
          spec.keeps_nodata ? hn::IfThenElse(keep, p.channel[channel], moved) : moved;
    }
    StorePixels<Sample, kChannels>(p, out + i * kChannels);
  }
  PlainAddLuma(spec, in + i * kChannels, luma + i, mapped + i, count - i, out + i * kChannels);
}

template <typename Sample>
void AddLuma(const CombineSpec& spec, const Sample* in, const Sample* luma, const Sample* mapped,
             size_t count, Sample* out) {
  if (spec.channels == 3) return AddLumaChannels<Sample, 3>(spec, in, luma, mapped, count, out);
  AddLumaChannels<Sample, 4>(spec, in, luma, mapped, count, out);
}

template <typename Sample, uint32_t kChannels>
void InsertChannels(uint32_t channel, const Sample* plane, size_t count, Sample* out) {
  const hn::ScalableTag<Sample> d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto p = LoadPixels<Sample, kChannels>(out + i * kChannels);
    p.channel[channel] = hn::LoadU(d, plane + i);
    StorePixels<Sample, kChannels>(p, out + i * kChannels);
  }
  PlainInsert(kChannels, channel, plane + i, count - i, out + i * kChannels);
}

template <typename Sample>
void Insert(uint32_t channels, uint32_t channel, const Sample* plane, size_t count, Sample* out) {
  switch (channels) {
    case 2:
      return InsertChannels<Sample, 2>(channel, plane, count, out);
    case 3:
      return InsertChannels<Sample, 3>(channel, plane, count, out);
    case 4:
      return InsertChannels<Sample, 4>(channel, plane, count, out);
    default:
      return PlainInsert(channels, channel, plane, count, out);
  }
}

template <typename Sample>
constexpr SampleKernels<Sample> ColorKernelsOf() {
  return {&Extract<Sample>,         nullptr,        nullptr, &AddLuma<Sample>,
          &PlainScaleValue<Sample>, &Insert<Sample>};
}

#else

template <typename Sample>
constexpr SampleKernels<Sample> ColorKernelsOf() {
  return {&PlainExtract<Sample>, nullptr, nullptr, &PlainAddLuma<Sample>, &PlainScaleValue<Sample>,
          &PlainInsert<Sample>};
}

#endif  // HISTEQ_X86_VECTORS

ColorKernels GetColorKernels() { return {ColorKernelsOf<uint8_t>(), ColorKernelsOf<uint16_t>()}; }

}  // namespace HWY_NAMESPACE
}  // namespace histeq::internal
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace histeq::internal {

HWY_EXPORT(GetColorKernels);
ColorKernels ActiveColorKernels() { return HWY_DYNAMIC_DISPATCH(GetColorKernels)(); }

}  // namespace histeq::internal
#endif  // HWY_ONCE
