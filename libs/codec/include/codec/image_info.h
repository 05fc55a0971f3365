#pragma once

// What an image file's header says.

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/byte_stream.h"
#include "codec/limits.h"

namespace histeq::codec {

// The numbers are those of the contract's ImageFormat.
enum class ImageFormat { kJpeg = 1, kPng = 2 };

const char* FormatName(ImageFormat format);

struct ImageInfo {
  ImageFormat format = ImageFormat::kJpeg;
  // Pixels, at least 1.
  uint32_t width = 0;
  uint32_t height = 0;
  // As stored: 1 gray or palette index, 2 gray and alpha, 3 colour, 4 colour and alpha, or CMYK.
  uint32_t channels = 0;
  // As stored: 1, 2, 4, 8 or 16.
  uint32_t bits_per_sample = 0;
  bool has_alpha = false;
  // Needs the whole file before the first row: a progressive (or multi-scan) JPEG, an interlaced
  // PNG.
  bool progressive = false;
};

// Reads the header, and checks it against `limits`. Takes more of `source` than the header is long.
// - INVALID_ARGUMENT: NOT_AN_IMAGE, UNSUPPORTED_FORMAT, IMAGE_TOO_LARGE, METADATA_TOO_LARGE,
//   IMAGE_TRUNCATED, IMAGE_CORRUPT; or what `source` answers.
absl::StatusOr<ImageInfo> ProbeImage(base::ByteSource& source, const DecodeLimits& limits);

// As ProbeImage does it, for sizes that come from elsewhere.
absl::Status CheckImageSize(uint64_t width, uint64_t height, const DecodeLimits& limits);

}  // namespace histeq::codec
