// Image files made and taken apart with libjpeg and libpng alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "codec/decoder.h"
#include "histeq_image.h"
#include "streams.h"

namespace histeq::testing {

// A file of tests/data.
Bytes TestFile(const std::string& name);

// A photograph of tests/data that goes on by repeating.
reference::Image Photograph(const std::string& name, uint32_t channels, uint32_t width,
                            uint32_t height);

// 1 to 4 channels as the shape says, 8 or 16 bit.
Bytes MakePng(const reference::Image& image, bool interlaced = false);

struct JpegOptions {
  int quality = 90;
  // Sampling of luma; chroma has 1x1.
  int horizontal = 2;
  int vertical = 2;
  bool progressive = false;
};
// 1 or 3 channels of 8 bit.
Bytes MakeJpeg(const reference::Image& image, const JpegOptions& options = {});

// What a file shows: RGB for JPEG colours, with libjpeg's usual upsampling.
reference::Image DecodePng(const Bytes& file);
reference::Image DecodeJpeg(const Bytes& file);

// Planes as an encoder takes them, whole units of MCUs.
struct Planes {
  codec::RasterLayout layout;
  codec::EncodeSpec encode;
  std::vector<uint8_t> samples;
};
// All rows at once, by libs/codec.
Planes DecodeWhole(const Bytes& file, codec::SampleMode mode);

// Quantized coefficients of all components, block after block.
std::vector<int16_t> Coefficients(const Bytes& file);

// A JPEG of those planes, written in one go with the spec's tables.
Bytes EncodePlanes(const Planes& planes);

}  // namespace histeq::testing
