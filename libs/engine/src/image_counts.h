#pragma once

// Operation::Kind::kAnalyze: counts of decoded rows, and what they say.

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "codec/decoder.h"
#include "engine/image_statistics.h"
#include "histeq/parameters.h"
#include "histeq/statistics.h"

namespace histeq::engine {

// Counts an image that is decoded with SampleMode::kInterleavedYCbCr. One thread at a time.
class ImageCounts {
 public:
  // RESOURCE_EXHAUSTED (OUT_OF_MEMORY).
  static absl::StatusOr<ImageCounts> Create(const codec::Decoder& decoder);

  // `rows` visible rows from `first_row` of the image on; changes them.
  void Add(std::span<uint8_t> samples, uint32_t first_row, uint32_t rows);

  ImageStatistics Finish() const;

 private:
  ImageCounts() = default;

  ImageShape shape_;
  uint64_t stride_ = 0;
  // Pixels come as Y, Cb, Cr.
  bool ycc_ = false;
  // Gray, or luma.
  Statistics luma_;
  // Red, green, blue; not valid for gray.
  Statistics colors_;
  // The Y of a row.
  std::vector<uint8_t> line_;
};

// One pixel after the other from Y, Cb, Cr to R, G, B in place, with the rounding of libjpeg.
void YccToRgb(std::span<uint8_t> pixels);

}  // namespace histeq::engine
