// What to do with an image's contrast, and the shape of the image it is done to.
#ifndef HISTEQ_PARAMETERS_H_
#define HISTEQ_PARAMETERS_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace histeq {

// How the mapping is made from the statistics.
enum class Method : uint32_t {
  // One table, from the cumulative histogram (OpenCV's equalizeHist).
  kGlobal = 1,
  // As kGlobal, after the histogram was clipped at clip_limit times its mean count and the excess
  // spread evenly.
  kClipLimited = 2,
  // Contrast-limited adaptive equalization on a grid of tiles (Zuiderveld 1994, OpenCV's
  // createCLAHE).
  kClahe = 3,
  // To the histogram `reference`, or to `distribution`.
  kMatch = 4,
  // Linear between two percentiles.
  kStretch = 5,
};

// What is equalized in a picture of three colours. Pictures of one colour channel ignore it.
enum class Color : uint32_t {
  // BT.601 luma; R, G and B move by the same amount, clamped.
  kLuma = 1,
  // R, G and B each by its own statistics.
  kPerChannel = 2,
  // The maximum of R, G and B; the three are scaled by one factor.
  kValue = 3,
};

// Target of Method::kMatch when there is no reference histogram.
enum class Distribution : uint32_t {
  kNone = 0,
  kUniform = 1,
  // Mean in the middle of the range, standard deviation a sixth of it.
  kGaussian = 2,
  // Mode at a quarter of the range.
  kRayleigh = 3,
};

// All numbers are integers: fractions are fixed-point, so that every machine computes the same.
struct EqualizeParameters {
  Method method = Method::kGlobal;
  Color color = Color::kLuma;
  // kClipLimited and kClahe: multiples of the mean count of a bin, times 256; 256 to 256'000'000.
  uint32_t clip_limit_q8 = 512;
  // kClahe: tiles across and down, 1 to 256 each.
  uint32_t grid_x = 8;
  uint32_t grid_y = 8;
  // 0 (unchanged) to 65536 (full effect): each table entry is blended with the identity.
  uint32_t strength_q16 = 65536;
  // Samples equal to `nodata` are neither counted nor changed. With Color::kLuma and kValue a pixel
  // of three colours is left out when all three equal it.
  bool has_nodata = false;
  uint32_t nodata = 0;
  // Bits that carry the picture, 1 to bits_per_sample; 0 means all. Larger samples count as the
  // largest.
  uint32_t significant_bits = 0;
  // kMatch: exactly one of `distribution` and `reference` is given.
  Distribution distribution = Distribution::kNone;
  // 256 counts for 8-bit samples, 65536 for 16-bit ones; at least one is not zero, and the sum fits
  // into 63 bits.
  std::vector<uint64_t> reference;
  // kStretch: percent times 10000; low < high <= 1'000'000.
  uint32_t percentile_low_q4 = 10000;
  uint32_t percentile_high_q4 = 990000;
};

// A picture of interleaved samples.
struct ImageShape {
  // Pixels, 0 to 2^31 - 1.
  uint32_t width = 0;
  uint32_t height = 0;
  // 1 gray, 2 gray and alpha, 3 R G B, 4 R G B and alpha. Anything else of up to four channels goes
  // with Color::kPerChannel.
  uint32_t channels = 1;
  // Whether the last channel is alpha: it is never changed, and pixels where it is 0 are not
  // counted.
  bool has_alpha = false;
  // 8 or 16; 16-bit samples are native-endian and aligned to 2 bytes.
  uint32_t bits_per_sample = 8;
};

// A parameter out of its range.
struct ParameterProblem {
  // Name of the field as in EqualizeParameters or ImageShape, without the fixed-point suffix
  // ("clip_limit").
  const char* field;
  // Allowed values in words, in the units that people write ("1 to 1000000").
  const char* allowed;
};

// The first parameter that is out of its range or does not go with the shape; nothing if all are
// usable. Every other function of the library requires parameters that passed here. Thread-safe.
std::optional<ParameterProblem> FindProblem(const EqualizeParameters& parameters,
                                            const ImageShape& shape);

// Channels that carry colour: `channels` without alpha.
inline uint32_t ColorChannels(const ImageShape& shape) {
  return shape.channels - (shape.has_alpha ? 1u : 0u);
}

// Values that a sample can have: 256 or 65536.
inline uint32_t SampleValues(const ImageShape& shape) { return 1u << shape.bits_per_sample; }

// The largest value of the significant bits.
inline uint32_t LargestSample(const EqualizeParameters& parameters, const ImageShape& shape) {
  const uint32_t bits =
      parameters.significant_bits == 0 ? shape.bits_per_sample : parameters.significant_bits;
  return (1u << bits) - 1;
}

}  // namespace histeq

#endif  // HISTEQ_PARAMETERS_H_
