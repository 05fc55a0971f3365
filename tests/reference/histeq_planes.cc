#include "histeq_planes.h"

#include <algorithm>
#include <cmath>

namespace histeq::reference {

bool IsMixed(const EqualizeParameters& parameters, const ImageShape& shape) {
  return ColorChannels(shape) == 3 && parameters.color != Color::kPerChannel;
}

uint32_t Planes(const EqualizeParameters& parameters, const ImageShape& shape) {
  return IsMixed(parameters, shape) ? 1 : ColorChannels(shape);
}

uint32_t Luma(uint32_t red, uint32_t green, uint32_t blue) {
  const auto weight_red = static_cast<uint64_t>(std::lround(0.299 * 32768));
  const auto weight_green = static_cast<uint64_t>(std::lround(0.587 * 32768));
  const uint64_t weight_blue = 32768 - weight_red - weight_green;
  const uint64_t sum = red * weight_red + green * weight_green + blue * weight_blue;
  return static_cast<uint32_t>(std::floor(static_cast<double>(sum) / 32768 + 0.5));
}

uint32_t PlaneOf(const EqualizeParameters& parameters, const ImageShape& shape, uint32_t plane,
                 const uint32_t* pixel) {
  if (!IsMixed(parameters, shape)) return pixel[plane];
  const uint32_t largest = LargestSample(parameters, shape);
  const uint32_t red = std::min(pixel[0], largest);
  const uint32_t green = std::min(pixel[1], largest);
  const uint32_t blue = std::min(pixel[2], largest);
  if (parameters.color == Color::kLuma) return Luma(red, green, blue);
  return std::max({red, green, blue});
}

bool IsNodataPixel(const EqualizeParameters& parameters, const uint32_t* pixel) {
  return parameters.has_nodata && pixel[0] == parameters.nodata && pixel[1] == parameters.nodata &&
         pixel[2] == parameters.nodata;
}

uint32_t Reflect101(int64_t position, uint32_t size) {
  if (size == 1) return 0;
  while (position < 0 || position >= size) {
    position = position < 0 ? -position : 2 * (int64_t{size} - 1) - position;
  }
  return static_cast<uint32_t>(position);
}

bool IsPadded(const EqualizeParameters& parameters, const ImageShape& shape) {
  return shape.width % parameters.grid_x != 0 || shape.height % parameters.grid_y != 0;
}

uint32_t TileSize(uint32_t size, uint32_t tiles, bool padded) {
  return padded ? (size + tiles - size % tiles) / tiles : size / tiles;
}

}  // namespace histeq::reference
