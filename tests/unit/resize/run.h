#pragma once

// A picture through a Resampler.

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "catch2/catch.hpp"
#include "resize/resampler.h"

namespace histeq::resize {

inline std::vector<uint8_t> Pack(const std::vector<uint16_t>& samples, uint32_t bits) {
  std::vector<uint8_t> bytes(samples.size() * bits / 8);
  for (size_t i = 0; i < samples.size(); ++i) {
    if (bits == 8)
      bytes[i] = static_cast<uint8_t>(samples[i]);
    else
      std::memcpy(&bytes[i * 2], &samples[i], 2);
  }
  return bytes;
}

inline std::vector<uint16_t> Unpack(const std::vector<uint8_t>& bytes, uint32_t bits) {
  std::vector<uint16_t> samples(bytes.size() * 8 / bits);
  for (size_t i = 0; i < samples.size(); ++i) {
    if (bits == 8)
      samples[i] = bytes[i];
    else
      std::memcpy(&samples[i], &bytes[i * 2], 2);
  }
  return samples;
}

// Pushes `step` rows at a time.
inline std::vector<uint16_t> Run(const ResampleSpec& spec, const std::vector<uint16_t>& samples,
                                 uint32_t step = 7) {
  auto made = Resampler::Create(spec);
  INFO(made.status().ToString());
  REQUIRE(made.ok());
  Resampler& resampler = **made;
  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  const size_t work_bytes =
      (resampler.work_bytes() + kWorkAlignment - 1) / kWorkAlignment * kWorkAlignment;
  // Malloc'ed exactly, so that a sanitizer sees every step beyond.
  const std::unique_ptr<uint8_t, Free> work(static_cast<uint8_t*>(
      std::aligned_alloc(kWorkAlignment, std::max(work_bytes, kWorkAlignment))));
  std::memset(work.get(), 0xA5, work_bytes);
  const std::vector<uint8_t> bytes = Pack(samples, spec.bits_per_sample);
  std::vector<uint8_t> out;
  uint32_t next = 0;
  resampler.Start({work.get(), resampler.work_bytes()},
                  [&](uint32_t row, std::span<const uint8_t> pixels) {
                    REQUIRE(row == next++);
                    out.insert(out.end(), pixels.begin(), pixels.end());
                    return absl::OkStatus();
                  });
  const size_t row_bytes = size_t{spec.source_width} * spec.channels * spec.bits_per_sample / 8;
  for (uint32_t row = 0; row < spec.source_height; row += step) {
    const uint32_t rows = std::min(step, spec.source_height - row);
    REQUIRE(resampler.Push(std::span(bytes).subspan(row * row_bytes, rows * row_bytes), rows).ok());
  }
  REQUIRE(resampler.Finish([] { return absl::OkStatus(); }).ok());
  REQUIRE(next == spec.height);
  return Unpack(out, spec.bits_per_sample);
}

enum class Pattern { kSmooth, kNoise, kBlackAndWhite };

inline std::vector<uint16_t> MakePattern(const ResampleSpec& spec, Pattern pattern,
                                         uint32_t seed = 1) {
  std::mt19937 random(seed);
  const uint32_t greatest = spec.bits_per_sample == 16 ? 65535 : 255;
  std::vector<uint16_t> samples(size_t{spec.source_width} * spec.source_height * spec.channels);
  for (size_t i = 0; i < samples.size(); ++i) {
    const size_t pixel = i / spec.channels;
    const double x = static_cast<double>(pixel % spec.source_width) / spec.source_width;
    const double y = static_cast<double>(pixel / spec.source_width) / spec.source_height;
    const double smooth =
        0.5 + 0.3 * x - 0.25 * y + 0.15 * ((i % spec.channels) == 1 ? x * y : 1 - x);
    switch (pattern) {
      case Pattern::kSmooth:
        samples[i] = static_cast<uint16_t>(std::min(1.0, std::max(0.0, smooth)) * greatest);
        break;
      case Pattern::kNoise:
        samples[i] = static_cast<uint16_t>(random() % (greatest + 1));
        break;
      case Pattern::kBlackAndWhite:
        samples[i] = static_cast<uint16_t>(random() % 2 * greatest);
        break;
    }
  }
  return samples;
}

}  // namespace histeq::resize
