#pragma once

// A slow PNG reader, written from the specification (ISO/IEC 15948): no libpng, zlib for inflate.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace histeq::reference {

struct PngChunk {
  std::string type;
  std::vector<uint8_t> data;
};

struct PngImage {
  uint32_t width = 0, height = 0;
  uint32_t bit_depth = 0, color_type = 0, interlace = 0;
  // All but IDAT and IEND, in order.
  std::vector<PngChunk> chunks;
  // As one would want them: palette and transparent colours expanded, 1, 2 and 4 bits scaled to 8;
  // rows without gaps, 16-bit samples little-endian.
  uint32_t channels = 0;
  uint32_t bytes_per_sample = 0;
  std::vector<uint8_t> samples;

  const PngChunk* Find(const std::string& type) const;
};

// Splits a file; empty when it is not a row of whole chunks with valid CRCs after the signature.
std::vector<PngChunk> SplitPng(std::span<const uint8_t> file);

// The reverse, with right CRCs.
std::vector<uint8_t> JoinPng(const std::vector<PngChunk>& chunks);

// Empty, or what is wrong. Strict: every byte of the file must have its place.
std::string ReadPng(std::span<const uint8_t> file, PngImage& image);

}  // namespace histeq::reference
