#pragma once

// How a picture is to be turned before it is looked at.

#include <cstdint>
#include <span>

#include "codec/decoder.h"

namespace histeq::codec {

// EXIF's numbers: 1 upright, 2 mirrored, 3 turned by 180 degrees, 4 both, 5 to 8 with width and
// height exchanged.
inline constexpr uint32_t kUpright = 1;

constexpr bool ExchangesAxes(uint32_t orientation) { return orientation >= 5; }

// What EXIF data (a TIFF header and its first directory) says; kUpright when it says nothing that
// makes sense. Any bytes.
uint32_t ExifOrientation(std::span<const uint8_t> exif);

// As ExifOrientation, of the first EXIF data among an image's metadata.
uint32_t OrientationOf(const Metadata& metadata, ImageFormat format);

struct Position {
  uint32_t x = 0;
  uint32_t y = 0;
};

// Where a pixel of a stored picture of this size stands in the upright one.
constexpr Position Upright(uint32_t orientation, uint32_t width, uint32_t height, Position stored) {
  const uint32_t x = stored.x, y = stored.y;
  const uint32_t right = width - 1 - x, below = height - 1 - y;
  switch (orientation) {
    case 2:
      return {right, y};
    case 3:
      return {right, below};
    case 4:
      return {x, below};
    case 5:
      return {y, x};
    case 6:
      return {below, x};
    case 7:
      return {below, right};
    case 8:
      return {y, right};
    default:
      return stored;
  }
}

}  // namespace histeq::codec
