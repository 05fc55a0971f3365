#pragma once

// Interleaved samples to planes of levels and back.

#include <cstdint>
#include <span>

namespace histeq::resize {

struct SampleKind {
  uint32_t channels = 1;
  // The last channel.
  bool has_alpha = false;
  // 8 or 16.
  uint32_t bits_per_sample = 8;
  bool linear_light = false;

  uint32_t bytes_per_pixel() const { return channels * bits_per_sample / 8; }
};

// `width` pixels to a row of each plane; colours are multiplied by alpha.
void ToLevels(const SampleKind& kind, const uint8_t* pixels, uint32_t width,
              std::span<uint16_t* const> planes);

// The way back: colours are divided by alpha; those of fully transparent pixels become 0.
void FromLevels(const SampleKind& kind, std::span<const uint16_t* const> planes, uint32_t width,
                uint8_t* pixels);

}  // namespace histeq::resize
