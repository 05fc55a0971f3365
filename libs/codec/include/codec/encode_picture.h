#pragma once

// A whole picture to a file, with an encoding of its own rather than that of a source.

#include <cstdint>
#include <functional>
#include <span>

#include "absl/status/status.h"
#include "base/byte_stream.h"
#include "codec/decoder.h"
#include "codec/image_info.h"

namespace histeq::codec {

struct Picture {
  // Pixels, 1 to 65500 each.
  uint32_t width = 0;
  uint32_t height = 0;
  // Gray, gray and alpha, RGB or RGBA, interleaved, rows without gaps; 16-bit samples
  // little-endian. For a JPEG: 8-bit gray or RGB.
  uint32_t channels = 1;
  uint32_t bits_per_sample = 8;
  std::span<const uint8_t> samples;
};

struct PictureEncoding {
  ImageFormat format = ImageFormat::kJpeg;
  // Of a JPEG, 1 to 100: baseline, colours at half the resolution (4:2:0). Up to a megapixel with
  // Huffman tables of its own.
  uint32_t quality = 85;
};

// The bytes depend on picture, metadata and encoding alone. `check` is asked every few rows; what
// it answers ends the work. INTERNAL for a picture that does not hold together; errors of the sink.
absl::Status EncodePicture(const Picture& picture, const PictureEncoding& encoding,
                           const Metadata& metadata, const std::function<absl::Status()>& check,
                           base::ByteSink& sink);

}  // namespace histeq::codec
