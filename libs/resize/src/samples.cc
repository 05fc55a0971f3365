#include "samples.h"

#include <algorithm>
#include <cstring>

#include "levels.h"
#include "transfer.h"

namespace histeq::resize {
namespace {

template <uint32_t channels>
void SpreadBytes(const uint8_t* __restrict pixels, uint32_t width,
                 std::span<uint16_t* const> planes) {
  for (uint32_t c = 0; c < channels; ++c) {
    uint16_t* __restrict out = planes[c];
    for (uint32_t x = 0; x < width; ++x)
      out[x] = static_cast<uint16_t>(kLevels8.offset +
                                     pixels[size_t{x} * channels + c] * (kLevels8.range / 255));
  }
}

template <uint32_t channels>
void GatherBytes(std::span<const uint16_t* const> planes, uint32_t width,
                 uint8_t* __restrict pixels) {
  constexpr uint32_t kStep = kLevels8.range / 255;
  for (uint32_t c = 0; c < channels; ++c) {
    const uint16_t* __restrict in = planes[c];
    for (uint32_t x = 0; x < width; ++x)
      pixels[size_t{x} * channels + c] =
          static_cast<uint8_t>((Clamped(kLevels8, in[x]) + kStep / 2) / kStep);
  }
}

struct Plain {
  // A sample's level above the offset.
  static uint32_t Level(const Levels& levels, std::span<const uint16_t>, uint32_t sample) {
    return sample * (levels.range / levels.greatest);
  }
  static uint32_t Code(const Levels& levels, std::span<const uint16_t>, uint32_t level) {
    const uint32_t step = levels.range / levels.greatest;
    return (level + step / 2) / step;
  }
};

struct AsLight {
  static uint32_t Level(const Levels& levels, std::span<const uint16_t> light, uint32_t sample) {
    return light[sample] - levels.offset;
  }
  static uint32_t Code(const Levels& levels, std::span<const uint16_t> samples, uint32_t level) {
    return samples[level + levels.offset];
  }
};

template <typename Sample, typename Transfer>
void Spread(const SampleKind& kind, const uint8_t* pixels, uint32_t width,
            std::span<uint16_t* const> planes) {
  const Levels& levels = LevelsOf(kind.bits_per_sample);
  const std::span<const uint16_t> light =
      kind.linear_light ? LightOfSamples(kind.bits_per_sample) : std::span<const uint16_t>();
  const uint32_t colors = kind.channels - (kind.has_alpha ? 1 : 0);
  for (uint32_t x = 0; x < width; ++x) {
    Sample pixel[4];
    std::memcpy(pixel, pixels + size_t{x} * kind.channels * sizeof(Sample),
                kind.channels * sizeof(Sample));
    const uint64_t alpha = kind.has_alpha ? pixel[colors] : levels.greatest;
    for (uint32_t c = 0; c < colors; ++c) {
      const uint64_t level = Transfer::Level(levels, light, pixel[c]);
      planes[c][x] = static_cast<uint16_t>(levels.offset +
                                           (level * alpha + levels.greatest / 2) / levels.greatest);
    }
    if (kind.has_alpha)
      planes[colors][x] =
          static_cast<uint16_t>(levels.offset + alpha * (levels.range / levels.greatest));
  }
}

template <typename Sample, typename Transfer>
void Gather(const SampleKind& kind, std::span<const uint16_t* const> planes, uint32_t width,
            uint8_t* pixels) {
  const Levels& levels = LevelsOf(kind.bits_per_sample);
  const std::span<const uint16_t> samples =
      kind.linear_light ? SamplesOfLight(kind.bits_per_sample) : std::span<const uint16_t>();
  const uint32_t colors = kind.channels - (kind.has_alpha ? 1 : 0);
  const uint32_t step = levels.range / levels.greatest;
  for (uint32_t x = 0; x < width; ++x) {
    Sample pixel[4] = {};
    const uint64_t alpha = kind.has_alpha ? Clamped(levels, planes[colors][x]) : levels.range;
    const uint64_t alpha_sample = (alpha + step / 2) / step;
    if (alpha_sample > 0) {
      for (uint32_t c = 0; c < colors; ++c) {
        const uint64_t level = std::min<uint64_t>(Clamped(levels, planes[c][x]), alpha);
        pixel[c] = static_cast<Sample>(Transfer::Code(
            levels, samples, static_cast<uint32_t>((level * levels.range + alpha / 2) / alpha)));
      }
    }
    if (kind.has_alpha) pixel[colors] = static_cast<Sample>(alpha_sample);
    std::memcpy(pixels + size_t{x} * kind.channels * sizeof(Sample), pixel,
                kind.channels * sizeof(Sample));
  }
}

}  // namespace

void ToLevels(const SampleKind& kind, const uint8_t* pixels, uint32_t width,
              std::span<uint16_t* const> planes) {
  if (kind.bits_per_sample == 8 && !kind.linear_light && !kind.has_alpha) {
    if (kind.channels == 1) return SpreadBytes<1>(pixels, width, planes);
    if (kind.channels == 3) return SpreadBytes<3>(pixels, width, planes);
  }
  if (kind.bits_per_sample == 8)
    return kind.linear_light ? Spread<uint8_t, AsLight>(kind, pixels, width, planes)
                             : Spread<uint8_t, Plain>(kind, pixels, width, planes);
  return kind.linear_light ? Spread<uint16_t, AsLight>(kind, pixels, width, planes)
                           : Spread<uint16_t, Plain>(kind, pixels, width, planes);
}

void FromLevels(const SampleKind& kind, std::span<const uint16_t* const> planes, uint32_t width,
                uint8_t* pixels) {
  if (kind.bits_per_sample == 8 && !kind.linear_light && !kind.has_alpha) {
    if (kind.channels == 1) return GatherBytes<1>(planes, width, pixels);
    if (kind.channels == 3) return GatherBytes<3>(planes, width, pixels);
  }
  if (kind.bits_per_sample == 8)
    return kind.linear_light ? Gather<uint8_t, AsLight>(kind, planes, width, pixels)
                             : Gather<uint8_t, Plain>(kind, planes, width, pixels);
  return kind.linear_light ? Gather<uint16_t, AsLight>(kind, planes, width, pixels)
                           : Gather<uint16_t, Plain>(kind, planes, width, pixels);
}

}  // namespace histeq::resize
