#include "histeq_apply.h"

#include <algorithm>
#include <cmath>

#include "histeq_histogram.h"
#include "histeq_planes.h"

namespace histeq::reference {
namespace {

// A pixel among the centres of tiles along one dimension.
struct Position {
  uint32_t before;
  uint32_t after;
  double weight;  // Of `after`.
};

Position Among(uint32_t position, uint32_t tile, uint32_t tiles) {
  const double in_tiles = static_cast<double>(position) / tile - 0.5;
  const double before = std::floor(in_tiles);
  const auto clamped = [&](double index) {
    return static_cast<uint32_t>(std::clamp(index, 0.0, tiles - 1.0));
  };
  return {clamped(before), clamped(before + 1), in_tiles - before};
}

struct Mapper {
  const EqualizeParameters& parameters;
  const ImageShape& shape;
  const std::vector<Table>& tables;

  uint32_t Map(uint32_t x, uint32_t y, uint32_t plane, uint32_t value) const {
    if (parameters.method != Method::kClahe) return tables[plane][value];
    const bool padded = IsPadded(parameters, shape);
    const Position across =
        Among(x, TileSize(shape.width, parameters.grid_x, padded), parameters.grid_x);
    const Position down =
        Among(y, TileSize(shape.height, parameters.grid_y, padded), parameters.grid_y);
    const uint32_t planes = Planes(parameters, shape);
    const auto entry = [&](uint32_t tile_x, uint32_t tile_y) {
      return static_cast<double>(
          tables[(uint64_t{tile_y} * parameters.grid_x + tile_x) * planes + plane][value]);
    };
    const double upper = entry(across.before, down.before) * (1 - across.weight) +
                         entry(across.after, down.before) * across.weight;
    const double lower = entry(across.before, down.after) * (1 - across.weight) +
                         entry(across.after, down.after) * across.weight;
    return static_cast<uint32_t>(std::floor(upper * (1 - down.weight) + lower * down.weight + 0.5));
  }
};

// R, G and B move by the same amount, clamped.
void MoveByLuma(uint32_t luma, uint32_t mapped, uint32_t largest, uint32_t* pixel) {
  for (uint32_t channel = 0; channel < 3; ++channel) {
    const int64_t moved = int64_t{std::min(pixel[channel], largest)} + mapped - luma;
    pixel[channel] = static_cast<uint32_t>(std::clamp<int64_t>(moved, 0, largest));
  }
}

// R, G and B are multiplied by mapped / value, which is rounded to 1/65536. Black becomes gray.
void ScaleByValue(uint32_t value, uint32_t mapped, uint32_t largest, uint32_t* pixel) {
  const double factor = value == 0 ? 0 : std::floor(mapped * 65536.0 / value + 0.5) / 65536;
  for (uint32_t channel = 0; channel < 3; ++channel) {
    const uint32_t sample = std::min(pixel[channel], largest);
    pixel[channel] = value == 0 ? mapped : static_cast<uint32_t>(std::floor(sample * factor + 0.5));
  }
}

}  // namespace

Image Apply(const EqualizeParameters& parameters, const Image& image,
            const std::vector<Table>& tables) {
  const ImageShape& shape = image.shape;
  const Mapper mapper{parameters, shape, tables};
  const uint32_t largest = LargestSample(parameters, shape);
  Image result = image;
  for (uint32_t y = 0; y < shape.height; ++y) {
    for (uint32_t x = 0; x < shape.width; ++x) {
      uint32_t* pixel = result.Pixel(x, y);
      if (!IsMixed(parameters, shape)) {
        for (uint32_t plane = 0; plane < Planes(parameters, shape); ++plane) {
          pixel[plane] = mapper.Map(x, y, plane, pixel[plane]);
        }
        continue;
      }
      if (IsNodataPixel(parameters, pixel)) continue;
      const uint32_t number = PlaneOf(parameters, shape, 0, pixel);
      const uint32_t mapped = mapper.Map(x, y, 0, number);
      if (parameters.color == Color::kLuma) {
        MoveByLuma(number, mapped, largest, pixel);
      } else {
        ScaleByValue(number, mapped, largest, pixel);
      }
    }
  }
  return result;
}

Image Equalize(const EqualizeParameters& parameters, const Image& image) {
  return Apply(parameters, image, Tables(parameters, image.shape, Count(parameters, image)));
}

}  // namespace histeq::reference
