#pragma once

// How the fragments of an image are encoded: what a worker needs beside the samples.

#include <array>
#include <cstdint>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "codec/image_info.h"
#include "codec/raster_layout.h"

namespace histeq::codec {

enum class JpegColorTransform {
  kGray = 1,
  // Planes Y, Cb, Cr as they are.
  kYCbCr = 2,
  // Interleaved RGB in, YCbCr in the file.
  kRgbToYCbCr = 3,
};

struct JpegEncodeSpec {
  struct Component {
    // 1 to 4 each; at most 10 blocks in an MCU.
    uint32_t horizontal_sampling = 1;
    uint32_t vertical_sampling = 1;
    // Index into quant_tables.
    uint32_t quant_table = 0;
  };
  JpegColorTransform color_transform = JpegColorTransform::kGray;
  // 1 for kGray, otherwise 3.
  std::vector<Component> components;
  // 1 to 4 tables in natural order, values 1 to 255.
  std::vector<std::array<uint16_t, 64>> quant_tables;
};

struct PngEncodeSpec {
  // 1 to 4.
  uint32_t channels = 1;
  // 8 or 16.
  uint32_t bits_per_sample = 8;
  // 1: ISA-L, level 1.
  uint32_t compression_level = 1;
};

struct EncodeSpec {
  // The whole image's size in pixels.
  uint32_t width = 0;
  uint32_t height = 0;
  std::variant<JpegEncodeSpec, PngEncodeSpec> format;

  ImageFormat image_format() const {
    return std::holds_alternative<JpegEncodeSpec>(format) ? ImageFormat::kJpeg : ImageFormat::kPng;
  }
};

// Rows of an image that a fragment may be cut at: 8 rows of MCUs for JPEG, so that restart markers
// number alike in every fragment; 1 for PNG.
uint32_t FragmentRowMultiple(const EncodeSpec& spec, const RasterLayout& layout);

// Whether a spec from outside makes sense and fits the layout. INVALID_ARGUMENT
// (INVALID_ENCODE_SPEC).
absl::Status ValidateEncodeSpec(const EncodeSpec& spec, const RasterLayout& layout);

}  // namespace histeq::codec
