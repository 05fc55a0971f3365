#include "resample.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace histeq::reference {
namespace {

double Sinc(double x) {
  return x == 0 ? 1 : std::sin(std::numbers::pi * x) / (std::numbers::pi * x);
}
double Lanczos(double x) { return std::abs(x) < 3 ? Sinc(x) * Sinc(x / 3) : 0; }

// Beyond a border the picture goes on as in a mirror, again and again.
int64_t Mirrored(int64_t at, int64_t size) {
  while (at < 0 || at >= size) at = at < 0 ? -1 - at : 2 * size - 1 - at;
  return at;
}

struct Tap {
  int64_t at;
  double weight;
};

std::vector<Tap> TapsOf(uint32_t i, uint32_t source, double begin, double length, uint32_t target) {
  if (begin == 0 && length == source && target == source) return {{i, 1.0}};
  const double step = length / target;
  const double widened = std::max(1.0, step);
  const double center = begin + (i + 0.5) * step;
  std::vector<Tap> taps;
  double sum = 0;
  for (auto at = static_cast<int64_t>(std::floor(center - 3 * widened)) - 1;
       at <= center + 3 * widened + 1; ++at) {
    const double weight = Lanczos((at + 0.5 - center) / widened);
    taps.push_back({Mirrored(at, source), weight});
    sum += weight;
  }
  for (Tap& tap : taps) tap.weight /= sum;
  return taps;
}

double ToLight(double v) { return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4); }
double FromLight(double v) {
  return v <= 0.04045 / 12.92 ? v * 12.92 : 1.055 * std::pow(v, 1 / 2.4) - 0.055;
}

}  // namespace

std::vector<uint16_t> Resample(const Resampling& spec, const std::vector<uint16_t>& samples) {
  const uint32_t n = spec.channels, colors = n - (spec.has_alpha ? 1 : 0);
  const double greatest = spec.bits_per_sample == 16 ? 65535 : 255;
  std::vector<double> light(samples.size());
  for (size_t p = 0; p < samples.size() / n; ++p) {
    const double alpha = spec.has_alpha ? samples[p * n + colors] / greatest : 1;
    for (uint32_t c = 0; c < n; ++c) {
      const double v = samples[p * n + c] / greatest;
      light[p * n + c] = c >= colors ? v : (spec.linear_light ? ToLight(v) : v) * alpha;
    }
  }
  std::vector<double> across(size_t{spec.width} * spec.source_height * n);
  for (uint32_t x = 0; x < spec.width; ++x) {
    const auto taps = TapsOf(x, spec.source_width, spec.left, spec.region_width, spec.width);
    for (uint32_t y = 0; y < spec.source_height; ++y)
      for (uint32_t c = 0; c < n; ++c) {
        double sum = 0;
        for (const Tap& tap : taps)
          sum += tap.weight *
                 light[(size_t{y} * spec.source_width + static_cast<size_t>(tap.at)) * n + c];
        across[(size_t{y} * spec.width + x) * n + c] = sum;
      }
  }
  std::vector<uint16_t> out(size_t{spec.width} * spec.height * n);
  for (uint32_t y = 0; y < spec.height; ++y) {
    const auto taps = TapsOf(y, spec.source_height, spec.top, spec.region_height, spec.height);
    for (uint32_t x = 0; x < spec.width; ++x) {
      std::vector<double> pixel(n, 0.0);
      for (uint32_t c = 0; c < n; ++c)
        for (const Tap& tap : taps)
          pixel[c] += tap.weight * across[(static_cast<size_t>(tap.at) * spec.width + x) * n + c];
      const double alpha = spec.has_alpha ? std::clamp(pixel[colors], 0.0, 1.0) : 1;
      const auto code = [&](double v) {
        return static_cast<uint16_t>(std::lround(std::clamp(v, 0.0, 1.0) * greatest));
      };
      for (uint32_t c = 0; c < colors; ++c) {
        const double v = alpha > 0 ? std::clamp(pixel[c] / alpha, 0.0, 1.0) : 0;
        out[(size_t{y} * spec.width + x) * n + c] =
            spec.has_alpha && code(alpha) == 0 ? uint16_t{0}
                                               : code(spec.linear_light ? FromLight(v) : v);
      }
      if (spec.has_alpha) out[(size_t{y} * spec.width + x) * n + colors] = code(alpha);
    }
  }
  return out;
}

}  // namespace histeq::reference
