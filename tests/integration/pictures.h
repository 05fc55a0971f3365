#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace histeq::integration {

// Interleaved 8-bit samples, rows without gaps.
struct Picture {
  uint32_t width = 0;
  uint32_t height = 0;
  // 1 gray, 3 RGB.
  uint32_t channels = 1;
  std::vector<uint8_t> samples;
};

// Reads a PNG or JPEG file's bytes as gray (of a JPEG: its Y plane) or RGB. Throws on an error, and
// on a warning of libjpeg.
Picture DecodePng(const std::string& file, uint32_t channels);
Picture DecodeJpeg(const std::string& file, uint32_t channels);
// Y, Cb and Cr interleaved, chroma upsampled.
Picture DecodeJpegYCbCr(const std::string& file);

// The picture repeated to width x height, each repetition shifted in brightness a little, so that
// segments differ.
Picture Tiled(const Picture& picture, uint32_t width, uint32_t height);

std::string EncodePng(const Picture& picture);
// Gray samples of 16 bits: v * 256, and up to 255 more from pixel to pixel, so that all values
// occur.
std::string EncodePng16(const Picture& gray);
// 4:2:0 when RGB.
std::string EncodeJpeg(const Picture& picture, int quality = 90);

// A gray JPEG with the quantization of the first component of `file`.
std::string EncodeJpegLike(const Picture& gray, const std::string& file);

// Global equalization of gray samples, written from OpenCV's documented formula: round((cdf(v) -
// cdf_min) * 255 / (N - cdf_min)).
Picture EqualizedByFormula(const Picture& gray);

}  // namespace histeq::integration
