#include "histeq/parameters.h"

#include <cstddef>
#include <cstdint>

namespace histeq {

std::optional<ParameterProblem> FindProblem(const EqualizeParameters& parameters,
                                            const ImageShape& shape) {
  const bool deep = shape.bits_per_sample == 16;
  if (!deep && shape.bits_per_sample != 8) return ParameterProblem{"bits_per_sample", "8 or 16"};
  if (shape.channels < 1 || shape.channels > 4) return ParameterProblem{"channels", "1 to 4"};
  const uint32_t colors = ColorChannels(shape);
  if (colors == 0) return ParameterProblem{"channels", "2 or 4 with alpha"};
  if (shape.width > INT32_MAX) return ParameterProblem{"width", "0 to 2147483647"};
  if (shape.height > INT32_MAX) return ParameterProblem{"height", "0 to 2147483647"};
  if (parameters.method < Method::kGlobal || parameters.method > Method::kStretch) {
    return ParameterProblem{"method", "global, clip-limited, clahe, match or stretch"};
  }
  if (parameters.color < Color::kLuma || parameters.color > Color::kValue) {
    return ParameterProblem{"color", "luma, per-channel or value"};
  }
  if (parameters.color != Color::kPerChannel && colors != 1 && colors != 3) {
    return ParameterProblem{"color", "per-channel for pictures of 2 or 4 colour channels"};
  }
  if (parameters.strength_q16 > 65536) return ParameterProblem{"strength", "0 to 1"};
  if (parameters.has_nodata && parameters.nodata >= SampleValues(shape)) {
    return ParameterProblem{"nodata", deep ? "0 to 65535" : "0 to 255"};
  }
  if (parameters.significant_bits > shape.bits_per_sample) {
    return ParameterProblem{"significant_bits", deep ? "1 to 16" : "1 to 8"};
  }
  const bool clips =
      parameters.method == Method::kClipLimited || parameters.method == Method::kClahe;
  if (clips && (parameters.clip_limit_q8 < 256 || parameters.clip_limit_q8 > 256'000'000)) {
    return ParameterProblem{"clip_limit", "1 to 1000000"};
  }
  if (parameters.method == Method::kClahe) {
    if (parameters.grid_x < 1 || parameters.grid_x > 256) {
      return ParameterProblem{"grid_x", "1 to 256"};
    }
    if (parameters.grid_y < 1 || parameters.grid_y > 256) {
      return ParameterProblem{"grid_y", "1 to 256"};
    }
  }
  if (parameters.method == Method::kMatch) {
    if (parameters.distribution > Distribution::kRayleigh) {
      return ParameterProblem{"target_distribution", "uniform, gaussian or rayleigh"};
    }
    const bool has_distribution = parameters.distribution != Distribution::kNone;
    if (has_distribution == !parameters.reference.empty()) {
      return ParameterProblem{"reference",
                              "exactly one of a reference histogram and a target distribution"};
    }
    if (!has_distribution) {
      const ParameterProblem wrong{"reference",
                                   deep ? "65536 counts, some above 0, with a sum below 2^63"
                                        : "256 counts, some above 0, with a sum below 2^63"};
      if (parameters.reference.size() != SampleValues(shape)) return wrong;
      uint64_t sum = 0;
      for (const uint64_t count : parameters.reference) {
        if (count >> 63 != 0) return wrong;
        sum += count;
        if (sum >> 63 != 0) return wrong;
      }
      if (sum == 0) return wrong;
    }
  }
  if (parameters.method == Method::kStretch) {
    if (parameters.percentile_high_q4 > 1'000'000) {
      return ParameterProblem{"percentile_high", "0 to 100"};
    }
    if (parameters.percentile_low_q4 >= parameters.percentile_high_q4) {
      return ParameterProblem{"percentile_low", "0 to less than percentile_high"};
    }
  }
  return std::nullopt;
}

}  // namespace histeq
