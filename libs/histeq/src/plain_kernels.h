// The kernels in plain C++: what the scalar target runs, and what the others run for the ends of
// rows.
#ifndef HISTEQ_SRC_PLAIN_KERNELS_H_
#define HISTEQ_SRC_PLAIN_KERNELS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels.h"

namespace histeq::internal {

// ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B, weights in 1/32768 as OpenCV rounds them.
inline constexpr uint32_t kRedWeight = 9798;
inline constexpr uint32_t kGreenWeight = 19235;
inline constexpr uint32_t kBlueWeight = 3735;

inline uint32_t LumaOf(uint32_t red, uint32_t green, uint32_t blue) {
  return (red * kRedWeight + green * kGreenWeight + blue * kBlueWeight + 16384) >> 15;
}

template <typename Sample>
inline uint32_t PlaneOf(Plane plane, uint32_t largest, const Sample* pixel) {
  if (!IsMixed(plane)) return pixel[static_cast<uint32_t>(plane)];
  const uint32_t red = std::min<uint32_t>(pixel[0], largest);
  const uint32_t green = std::min<uint32_t>(pixel[1], largest);
  const uint32_t blue = std::min<uint32_t>(pixel[2], largest);
  return plane == Plane::kLuma ? LumaOf(red, green, blue) : std::max({red, green, blue});
}

template <typename Sample>
inline bool IsNodata(uint32_t nodata, const Sample* pixel) {
  return pixel[0] == nodata && pixel[1] == nodata && pixel[2] == nodata;
}

template <typename Sample>
size_t PlainExtract(const ExtractSpec& spec, const Sample* pixels, const uint8_t* mask,
                    size_t count, Sample* out) {
  size_t skipped = 0;
  for (size_t i = 0; i < count; ++i) {
    const Sample* pixel = pixels + i * spec.channels;
    const bool skip = (mask != nullptr && mask[i] == 0) ||
                      (spec.skips_transparent && pixel[spec.channels - 1] == 0) ||
                      (spec.skips_nodata && IsNodata(spec.nodata, pixel));
    skipped += skip;
    out[i] = skip ? Sample{0} : static_cast<Sample>(PlaneOf(spec.plane, spec.largest, pixel));
  }
  return skipped;
}

template <typename Sample>
void PlainMap(const Sample* table, const Sample* in, size_t count, Sample* out) {
  for (size_t i = 0; i < count; ++i) out[i] = table[in[i]];
}

// a + (b - a) * weight / 32768, as the vector instruction "multiply high, rounded and scaled" has
// it.
inline int32_t Blend(int32_t a, int32_t b, int32_t weight) {
  return a + (((b - a) * weight + 16384) >> 15);
}

// 8 bits: entries with 7 more bits of fraction; a weight of at most 32767.
inline uint8_t Interpolated(uint8_t upper_left, uint8_t upper_right, uint8_t lower_left,
                            uint8_t lower_right, uint32_t weight_x, uint32_t weight_y) {
  const int32_t left = Blend(upper_left << 7, lower_left << 7, static_cast<int32_t>(weight_y));
  const int32_t right = Blend(upper_right << 7, lower_right << 7, static_cast<int32_t>(weight_y));
  return static_cast<uint8_t>((Blend(left, right, static_cast<int32_t>(weight_x)) + 64) >> 7);
}

// 16 bits: exact products, one rounding at the end.
inline uint16_t Interpolated(uint16_t upper_left, uint16_t upper_right, uint16_t lower_left,
                             uint16_t lower_right, uint32_t weight_x, uint32_t weight_y) {
  const uint32_t left = upper_left * (65536 - weight_y) + lower_left * weight_y;
  const uint32_t right = upper_right * (65536 - weight_y) + lower_right * weight_y;
  const uint64_t sum =
      uint64_t{left} * ((1u << 24) - weight_x) + uint64_t{right} * weight_x + (uint64_t{1} << 39);
  return static_cast<uint16_t>(sum >> 40);
}

template <typename Sample>
void PlainInterpolate(const TableRow<Sample>& row, const Stretch* stretches,
                      const typename Weights<Sample>::X* weights_x, const Sample* in, size_t count,
                      Sample* out) {
  for (size_t i = 0; i < count; ++stretches) {
    const Sample* upper_left = row.upper + stretches->left * row.step;
    const Sample* upper_right = row.upper + stretches->right * row.step;
    const Sample* lower_left = row.lower + stretches->left * row.step;
    const Sample* lower_right = row.lower + stretches->right * row.step;
    for (const size_t end = i + stretches->count; i < end; ++i) {
      const Sample sample = in[i];
      out[i] = Interpolated(upper_left[sample], upper_right[sample], lower_left[sample],
                            lower_right[sample], weights_x[i], row.weight_y);
    }
  }
}

// The channels beyond the colours.
template <typename Sample>
inline void CopyRest(const CombineSpec& spec, const Sample* in, Sample* out) {
  if (spec.channels == 4) out[3] = in[3];
}

template <typename Sample>
inline void CopyPixel(const CombineSpec& spec, const Sample* in, Sample* out) {
  for (uint32_t channel = 0; channel < spec.channels; ++channel) out[channel] = in[channel];
}

template <typename Sample>
void PlainAddLuma(const CombineSpec& spec, const Sample* in, const Sample* luma,
                  const Sample* mapped, size_t count, Sample* out) {
  const auto largest = static_cast<int32_t>(spec.largest);
  for (size_t i = 0; i < count; ++i, in += spec.channels, out += spec.channels) {
    if (spec.keeps_nodata && IsNodata(spec.nodata, in)) {
      CopyPixel(spec, in, out);
      continue;
    }
    const int32_t change = int32_t{mapped[i]} - int32_t{luma[i]};
    for (uint32_t channel = 0; channel < 3; ++channel) {
      const int32_t sample = std::min<int32_t>(in[channel], largest);
      out[channel] = static_cast<Sample>(std::clamp<int32_t>(sample + change, 0, largest));
    }
    CopyRest(spec, in, out);
  }
}

template <typename Sample>
void PlainScaleValue(const CombineSpec& spec, const uint32_t* factors, const Sample* in,
                     const Sample* value, const Sample* mapped, size_t count, Sample* out) {
  for (size_t i = 0; i < count; ++i, in += spec.channels, out += spec.channels) {
    if (spec.keeps_nodata && IsNodata(spec.nodata, in)) {
      CopyPixel(spec, in, out);
      continue;
    }
    if (value[i] == 0) {
      for (uint32_t channel = 0; channel < 3; ++channel) out[channel] = mapped[i];
    } else {
      const uint32_t factor = factors != nullptr
                                  ? factors[value[i]]
                                  : ((uint32_t{mapped[i]} << 16) + value[i] / 2) / value[i];
      for (uint32_t channel = 0; channel < 3; ++channel) {
        const uint32_t sample = std::min<uint32_t>(in[channel], spec.largest);
        out[channel] = static_cast<Sample>((sample * factor + 32768) >> 16);
      }
    }
    CopyRest(spec, in, out);
  }
}

template <typename Sample>
void PlainInsert(uint32_t channels, uint32_t channel, const Sample* plane, size_t count,
                 Sample* out) {
  for (size_t i = 0; i < count; ++i) out[i * channels + channel] = plane[i];
}

inline void PlainCount8(const uint8_t* samples, size_t count, Counter8& counter) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, samples + i, 8);
    for (uint32_t k = 0; k < 8; ++k) ++counter.tables[k][(eight >> (8 * k)) & 255];
  }
  for (; i < count; ++i) ++counter.tables[0][samples[i]];
}

inline void PlainFlush8(Counter8& counter, uint64_t* histogram) {
  for (uint32_t value = 0; value < 256; ++value) {
    uint64_t sum = 0;
    for (uint32_t k = 0; k < 8; ++k) {
      sum += counter.tables[k][value];
      counter.tables[k][value] = 0;
    }
    histogram[value] += sum;
  }
}

inline void PlainCountPairs8(const uint8_t* samples, size_t count, uint32_t* pairs,
                             uint64_t* histogram) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, samples + i, 8);
    for (uint32_t k = 0; k < 4; ++k) ++pairs[(eight >> (16 * k)) & 65535];
  }
  for (; i < count; ++i) ++histogram[samples[i]];
}

inline void PlainCount16(const uint16_t* samples, size_t count, uint32_t* tables) {
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    uint64_t four;
    std::memcpy(&four, samples + i, 8);
    // Flat areas would wait for one counter all the time.
    if (four == ((four >> 16) | (four << 48))) {
      tables[four & 65535] += 4;
      continue;
    }
    ++tables[four & 65535];
    ++tables[65536 + ((four >> 16) & 65535)];
    ++tables[(four >> 32) & 65535];
    ++tables[65536 + (four >> 48)];
  }
  for (; i < count; ++i) ++tables[samples[i]];
}

inline void PlainFlush16(uint32_t* tables, uint64_t* histogram) {
  for (uint32_t value = 0; value < 65536; ++value) {
    histogram[value] += uint64_t{tables[value]} + tables[65536 + value];
  }
  std::memset(tables, 0, 2 * 65536 * sizeof(uint32_t));
}

}  // namespace histeq::internal

#endif  // HISTEQ_SRC_PLAIN_KERNELS_H_
