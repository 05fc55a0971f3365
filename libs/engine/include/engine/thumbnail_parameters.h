#pragma once

// What a thumbnail is to be like. Defaults as in histeq.v1.Thumbnail.

#include <cstdint>
#include <optional>

#include "codec/image_info.h"

namespace histeq::engine {

struct ThumbnailParameters {
  // Numbers as in histeq.v1.Thumbnail.Fit.
  enum class Fit { kInside = 1, kCover = 2, kExact = 3 };

  // Pixels, 1 to kMaxThumbnailDimension each.
  uint32_t width = 0;
  uint32_t height = 0;
  Fit fit = Fit::kInside;
  // Absent: the source's format.
  std::optional<codec::ImageFormat> format = std::nullopt;
  // Of a JPEG, 1 to 100.
  uint32_t quality = 85;
  // Whether a small image may become larger.
  bool enlarge = false;
  // Whether light is averaged, rather than the samples that stand for it.
  bool linear_light = false;
  // 0xRRGGBB behind what is transparent, when the result has no alpha.
  uint32_t background = 0xffffff;

  bool operator==(const ThumbnailParameters&) const = default;
};

inline constexpr uint32_t kMaxThumbnailDimension = 16384;
// Thumbnails of one job.
inline constexpr uint32_t kMaxThumbnails = 16;

}  // namespace histeq::engine
