#include "thumbnail_geometry.h"

#include <algorithm>
#include <utility>

#include "codec/orientation.h"

namespace histeq::engine {
namespace {

// Samples of a scaled JPEG for each of the result. With 1.6 the result is within 40 dB of what the
// whole JPEG gives, with 1.4 within 33.
constexpr double kSamplesLeft = 1.6;
// From here on nobody sees whether colours were interpolated.
constexpr double kSmoothBelow = 2;

// size * numerator / denominator, rounded, at least 1.
uint32_t Scaled(uint32_t size, uint32_t numerator, uint32_t denominator) {
  const uint64_t rounded =
      (2 * uint64_t{size} * numerator + denominator) / (2 * uint64_t{denominator});
  return static_cast<uint32_t>(std::max<uint64_t>(1, rounded));
}

// The middle part of `length` samples that is `part` long.
void Centre(uint32_t length, double part, double& begin, double& size) {
  size = std::min<double>(part, length);
  begin = (length - size) / 2;
  // What was rounded must not reach beyond.
  size = std::min(size, length - begin);
}

}  // namespace

ThumbnailGeometry GeometryOf(const ThumbnailParameters& parameters, uint32_t width,
                             uint32_t height) {
  ThumbnailGeometry out;
  out.region = {0, 0, static_cast<double>(width), static_cast<double>(height)};
  uint32_t wanted_width = parameters.width, wanted_height = parameters.height;
  switch (parameters.fit) {
    case ThumbnailParameters::Fit::kInside: {
      const bool fits = width <= wanted_width && height <= wanted_height;
      if (fits && !parameters.enlarge) {
        out.width = width;
        out.height = height;
      } else if (uint64_t{wanted_width} * height <= uint64_t{wanted_height} * width) {
        out.width = wanted_width;
        out.height = std::min(wanted_height, Scaled(height, wanted_width, width));
      } else {
        out.width = std::min(wanted_width, Scaled(width, wanted_height, height));
        out.height = wanted_height;
      }
      return out;
    }
    case ThumbnailParameters::Fit::kCover:
    case ThumbnailParameters::Fit::kExact:
      if (!parameters.enlarge) {
        wanted_width = std::min(wanted_width, width);
        wanted_height = std::min(wanted_height, height);
      }
      out.width = wanted_width;
      out.height = wanted_height;
      if (parameters.fit == ThumbnailParameters::Fit::kExact) return out;
      if (uint64_t{width} * wanted_height >= uint64_t{height} * wanted_width) {
        Centre(width, static_cast<double>(height) * wanted_width / wanted_height, out.region.left,
               out.region.width);
      } else {
        Centre(height, static_cast<double>(width) * wanted_height / wanted_width, out.region.top,
               out.region.height);
      }
      return out;
  }
  return out;
}

ThumbnailGeometry StoredGeometryOf(const ThumbnailParameters& parameters, uint32_t width,
                                   uint32_t height, uint32_t orientation) {
  if (!codec::ExchangesAxes(orientation)) return GeometryOf(parameters, width, height);
  // A part in the middle stays there when it is mirrored.
  ThumbnailGeometry out = GeometryOf(parameters, height, width);
  std::swap(out.width, out.height);
  std::swap(out.region.left, out.region.top);
  std::swap(out.region.width, out.region.height);
  return out;
}

codec::JpegScale ScaleFor(const ThumbnailGeometry& stored, bool linear_light) {
  const double ratio =
      std::min(stored.region.width / stored.width, stored.region.height / stored.height);
  codec::JpegScale scale;
  if (!linear_light) {
    for (const uint32_t denominator : {2u, 4u, 8u})
      if (ratio / denominator >= kSamplesLeft) scale.denominator = denominator;
  }
  scale.smooth_colors = ratio / scale.denominator < kSmoothBelow;
  return scale;
}

}  // namespace histeq::engine
