#pragma once

// Every kind of PNG, made with libpng.

#include <cstdint>
#include <vector>

#include "reference/png_reader.h"

namespace histeq::codec {

struct PngKind {
  uint32_t width = 17, height = 33;
  // As in IHDR: 0 gray, 2 RGB, 3 palette, 4 gray and alpha, 6 RGBA.
  int color_type = 2;
  int bit_depth = 8;
  bool interlaced = false;
  // tRNS: a colour of the picture, or alphas for half of the palette.
  bool transparent = false;
  // 0: as many as the bits allow.
  int palette_size = 0;
  int compression = 6;
};

std::vector<uint8_t> WritePng(const PngKind& kind);

// The file with a chunk put in before the first of type `before`.
std::vector<uint8_t> WithChunk(const std::vector<uint8_t>& file, const reference::PngChunk& chunk,
                               const std::string& before = "IDAT");

}  // namespace histeq::codec
