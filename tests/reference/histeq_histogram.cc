#include "histeq_histogram.h"

#include <algorithm>
#include <cmath>

#include "histeq_planes.h"

namespace histeq::reference {
namespace {

// Whether this plane of the pixel at (x, y) is counted.
bool Counts(const EqualizeParameters& parameters, const Image& image, uint32_t plane, uint64_t x,
            uint64_t y) {
  const ImageShape& shape = image.shape;
  const uint32_t* pixel = image.Pixel(x, y);
  if (!image.mask.empty() && image.mask[y * shape.width + x] == 0) return false;
  if (shape.has_alpha && pixel[shape.channels - 1] == 0) return false;
  if (!parameters.has_nodata) return true;
  return IsMixed(parameters, shape) ? !IsNodataPixel(parameters, pixel)
                                    : pixel[plane] != parameters.nodata;
}

}  // namespace

std::vector<uint64_t> Count(const EqualizeParameters& parameters, const Image& image) {
  const ImageShape& shape = image.shape;
  const bool tiled = parameters.method == Method::kClahe;
  const uint32_t tiles_x = tiled ? parameters.grid_x : 1;
  const uint32_t tiles_y = tiled ? parameters.grid_y : 1;
  const bool padded = tiled && IsPadded(parameters, shape);
  const uint32_t tile_width = TileSize(shape.width, tiles_x, padded);
  const uint32_t tile_height = TileSize(shape.height, tiles_y, padded);
  const uint32_t planes = Planes(parameters, shape);
  const uint64_t values = SampleValues(shape);
  std::vector<uint64_t> counts(uint64_t{tiles_x} * tiles_y * planes * values);
  if (shape.width == 0 || shape.height == 0) return counts;
  for (uint64_t y = 0; y < uint64_t{tile_height} * tiles_y; ++y) {
    for (uint64_t x = 0; x < uint64_t{tile_width} * tiles_x; ++x) {
      const uint32_t from_x = Reflect101(static_cast<int64_t>(x), shape.width);
      const uint32_t from_y = Reflect101(static_cast<int64_t>(y), shape.height);
      const uint64_t tile = y / tile_height * tiles_x + x / tile_width;
      for (uint32_t plane = 0; plane < planes; ++plane) {
        if (!Counts(parameters, image, plane, from_x, from_y)) continue;
        const uint32_t value = PlaneOf(parameters, shape, plane, image.Pixel(from_x, from_y));
        ++counts[(tile * planes + plane) * values + value];
      }
    }
  }
  return counts;
}

Summary Summarize(std::span<const uint64_t> histogram) {
  Summary summary;
  std::vector<uint32_t> present;
  for (uint32_t value = 0; value < histogram.size(); ++value) {
    summary.count += histogram[value];
    if (histogram[value] != 0) present.push_back(value);
  }
  if (present.empty()) return summary;
  summary.minimum = present.front();
  summary.maximum = present.back();
  const auto share = [&](uint32_t value) {
    return static_cast<long double>(histogram[value]) / static_cast<long double>(summary.count);
  };
  long double mean = 0;
  for (const uint32_t value : present) mean += value * share(value);
  long double variance = 0;
  long double entropy = 0;
  for (const uint32_t value : present) {
    variance += (value - mean) * (value - mean) * share(value);
    entropy -= share(value) * std::log2(share(value));
  }
  summary.mean = static_cast<double>(mean);
  summary.standard_deviation = static_cast<double>(std::sqrt(variance));
  summary.entropy = static_cast<double>(entropy);
  return summary;
}

uint32_t Percentile(std::span<const uint64_t> histogram, uint32_t percentile_q4) {
  std::vector<uint32_t> sorted;
  for (uint32_t value = 0; value < histogram.size(); ++value) {
    sorted.insert(sorted.end(), histogram[value], value);
  }
  if (sorted.empty()) return 0;
  uint64_t rank = sorted.size() * uint64_t{percentile_q4} / 1'000'000;
  if (rank * 1'000'000 < sorted.size() * uint64_t{percentile_q4}) ++rank;
  return sorted[std::max<uint64_t>(rank, 1) - 1];
}

}  // namespace histeq::reference
