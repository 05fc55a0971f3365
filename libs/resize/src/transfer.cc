#include "transfer.h"

#include <vector>

#include "levels.h"

namespace histeq::resize {
namespace {

// Newton's steps from above, until they end.
double FifthRoot(double value) {
  double root = 1;
  while (true) {
    const double square = root * root;
    const double next = (4 * root + value / (square * square)) / 5;
    if (next >= root) return root;
    root = next;
  }
}

std::vector<uint16_t> MakeLight(const Levels& levels) {
  std::vector<uint16_t> table(levels.greatest + 1);
  for (uint32_t v = 0; v <= levels.greatest; ++v)
    table[v] = static_cast<uint16_t>(
        levels.offset +
        static_cast<uint32_t>(levels.range * Light(double(v) / levels.greatest) + 0.5));
  return table;
}

std::vector<uint16_t> MakeSamples(const Levels& levels) {
  std::vector<uint16_t> table(65536);
  uint32_t level = 0;
  for (uint32_t v = 0; v < levels.greatest; ++v) {
    const double border = levels.offset + levels.range * Light((v + 0.5) / levels.greatest);
    for (; level < border; ++level) table[level] = static_cast<uint16_t>(v);
  }
  for (; level < table.size(); ++level) table[level] = static_cast<uint16_t>(levels.greatest);
  return table;
}

}  // namespace

double Light(double sample) {
  if (sample <= 0.04045) return sample / 12.92;
  // x^2.4 = x^2 * (x^2)^(1/5)
  const double x = (sample + 0.055) / 1.055;
  return x * x * FifthRoot(x * x);
}

std::span<const uint16_t> LightOfSamples(uint32_t bits_per_sample) {
  static const std::vector<uint16_t> light8 = MakeLight(kLevels8);
  if (bits_per_sample != 16) return light8;
  static const std::vector<uint16_t> light16 = MakeLight(kLevels16);
  return light16;
}

std::span<const uint16_t> SamplesOfLight(uint32_t bits_per_sample) {
  static const std::vector<uint16_t> samples8 = MakeSamples(kLevels8);
  if (bits_per_sample != 16) return samples8;
  static const std::vector<uint16_t> samples16 = MakeSamples(kLevels16);
  return samples16;
}

}  // namespace histeq::resize
