// How many tables an image has, and where the tiles of a grid lie.
#ifndef HISTEQ_SRC_LAYOUT_H_
#define HISTEQ_SRC_LAYOUT_H_

#include <cstdint>

#include "histeq/parameters.h"

namespace histeq::internal {

// What one number of a pixel stands for it in statistics and lookups.
enum class Plane : uint32_t {
  kFirst = 0,  // Channels 0 to 3 as they are.
  kSecond = 1,
  kThird = 2,
  kFourth = 3,
  kLuma = 4,
  kValue = 5,
};

// Planes of an image: 1, or its colour channels with Color::kPerChannel.
inline uint32_t PlaneCount(const EqualizeParameters& parameters, const ImageShape& shape) {
  return parameters.color == Color::kPerChannel ? ColorChannels(shape) : 1;
}

inline Plane PlaneAt(const EqualizeParameters& parameters, const ImageShape& shape,
                     uint32_t index) {
  if (ColorChannels(shape) == 3) {
    if (parameters.color == Color::kLuma) return Plane::kLuma;
    if (parameters.color == Color::kValue) return Plane::kValue;
  }
  return static_cast<Plane>(index);
}

inline bool IsMixed(Plane plane) { return plane == Plane::kLuma || plane == Plane::kValue; }

inline uint32_t TileCount(const EqualizeParameters& parameters) {
  return parameters.method == Method::kClahe ? parameters.grid_x * parameters.grid_y : 1;
}

inline uint64_t TableCount(const EqualizeParameters& parameters, const ImageShape& shape) {
  return uint64_t{TileCount(parameters)} * PlaneCount(parameters, shape);
}

// Regions of fewer samples are counted without the counters that Statistics keeps beside: clearing
// and adding up those costs more than they save.
inline constexpr uint64_t kLargeRegion = uint64_t{1} << 19;

// The grid over one dimension. As in OpenCV, an image that the grid does not divide is padded at
// its right and lower sides by reflection about the last pixel, in both dimensions even if one
// would fit.
struct GridAxis {
  uint32_t tiles;
  uint32_t size;    // Pixels of the image.
  uint32_t padded;  // Pixels with padding.
  uint32_t tile;    // Pixels of a tile.
};

struct Grid {
  GridAxis x;
  GridAxis y;
};

inline Grid GridOf(const EqualizeParameters& parameters, const ImageShape& shape) {
  const auto axis = [](uint32_t tiles, uint32_t size, bool pad) {
    const uint32_t padded = pad ? size + (tiles - size % tiles) : size;
    return GridAxis{tiles, size, padded, padded / tiles};
  };
  const bool pad = shape.width % parameters.grid_x != 0 || shape.height % parameters.grid_y != 0;
  return Grid{axis(parameters.grid_x, shape.width, pad),
              axis(parameters.grid_y, shape.height, pad)};
}

// Whether a mapping keeps the tables of CLAHE once more for each cell, the area between four tile
// centres: only where these take no more memory than the picture.
inline bool KeepsQuads(const EqualizeParameters& parameters, const ImageShape& shape) {
  if (parameters.method != Method::kClahe) return false;
  const uint64_t cells = (uint64_t{parameters.grid_x} + 1) * (uint64_t{parameters.grid_y} + 1);
  return uint64_t{shape.width} * shape.height >= 4 * cells * SampleValues(shape);
}

// The pixel that the padded one repeats: reflection about the first and last pixel, which are not
// doubled.
inline uint32_t Reflect(uint32_t position, uint32_t size) {
  if (size == 1) return 0;
  const uint32_t period = 2 * (size - 1);
  const uint32_t phase = position % period;
  return phase < size ? phase : period - phase;
}

}  // namespace histeq::internal

#endif  // HISTEQ_SRC_LAYOUT_H_
