#include "codec/encode_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/status_macros.h"

namespace histeq::codec {
namespace {

absl::Status Invalid(const std::string& what) {
  return base::MakeError(absl::StatusCode::kInvalidArgument, "the encode spec is wrong: " + what,
                         {.reason = "INVALID_ENCODE_SPEC", .field = "encode"});
}

uint64_t CeilDivide(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

absl::Status ValidateJpeg(const EncodeSpec& spec, const JpegEncodeSpec& jpeg,
                          const RasterLayout& layout) {
  if (spec.width > 65500 || spec.height > 65500)
    return Invalid(fmt::format("{}x{} pixels; a JPEG ends at 65500", spec.width, spec.height));
  const bool gray = jpeg.color_transform == JpegColorTransform::kGray;
  if (jpeg.components.size() != (gray ? 1u : 3u))
    return Invalid(fmt::format("{} components", jpeg.components.size()));
  if (jpeg.quant_tables.empty() || jpeg.quant_tables.size() > 4)
    return Invalid(fmt::format("{} quantization tables", jpeg.quant_tables.size()));
  for (const auto& table : jpeg.quant_tables) {
    for (uint16_t value : table)
      if (value < 1 || value > 255) return Invalid(fmt::format("a quantizer of {}", value));
  }
  uint32_t max_h = 1, max_v = 1, blocks = 0;
  for (const auto& c : jpeg.components) {
    if (c.horizontal_sampling < 1 || c.horizontal_sampling > 4 || c.vertical_sampling < 1 ||
        c.vertical_sampling > 4 || c.quant_table >= jpeg.quant_tables.size())
      return Invalid(fmt::format("a component of sampling {}x{} with table {}",
                                 c.horizontal_sampling, c.vertical_sampling, c.quant_table));
    max_h = std::max(max_h, c.horizontal_sampling);
    max_v = std::max(max_v, c.vertical_sampling);
    blocks += c.horizontal_sampling * c.vertical_sampling;
  }
  if (blocks > 10 && jpeg.components.size() > 1)
    return Invalid(fmt::format("{} blocks in an MCU; allowed are 10", blocks));
  if (layout.has_alpha) return Invalid("alpha in a JPEG");
  if (layout.unit_rows != max_v * 8) return Invalid("the unit is not a row of MCUs");
  if (jpeg.color_transform == JpegColorTransform::kRgbToYCbCr) {
    if (layout.planes.size() != 1 || layout.planes[0].channels != 3 ||
        layout.planes[0].bytes_per_sample != 1)
      return Invalid("RGB needs one plane of three channels");
    for (const auto& c : jpeg.components) {
      if (max_h % c.horizontal_sampling != 0 || max_v % c.vertical_sampling != 0)
        return Invalid(fmt::format("RGB cannot be sampled {}x{} of {}x{}", c.horizontal_sampling,
                                   c.vertical_sampling, max_h, max_v));
    }
    return absl::OkStatus();
  }
  if (layout.planes.size() != jpeg.components.size())
    return Invalid("one plane for each component is needed");
  for (size_t i = 0; i < layout.planes.size(); ++i) {
    const PlaneLayout& plane = layout.planes[i];
    const auto& c = jpeg.components[i];
    const uint64_t blocks_wide =
        CeilDivide(uint64_t{spec.width} * c.horizontal_sampling, uint64_t{max_h} * 8);
    if (plane.channels != 1 || plane.bytes_per_sample != 1 ||
        plane.stored_width != blocks_wide * 8 ||
        plane.vertical_sampling * max_v != c.vertical_sampling * layout.max_vertical_sampling)
      return Invalid(fmt::format("plane {} does not fit its component", i));
  }
  return absl::OkStatus();
}

absl::Status ValidatePng(const EncodeSpec& spec, const PngEncodeSpec& png,
                         const RasterLayout& layout) {
  if (png.channels < 1 || png.channels > 4 ||
      (png.bits_per_sample != 8 && png.bits_per_sample != 16))
    return Invalid(fmt::format("{} channels of {} bits", png.channels, png.bits_per_sample));
  if (png.compression_level != 1)
    return Invalid(fmt::format("compression level {}; allowed is 1", png.compression_level));
  if (layout.planes.size() != 1 || layout.unit_rows != 1 ||
      layout.planes[0].channels != png.channels ||
      layout.planes[0].bytes_per_sample * 8 != png.bits_per_sample ||
      layout.planes[0].stored_width != spec.width)
    return Invalid("the raster does not fit the PNG's rows");
  return absl::OkStatus();
}

}  // namespace

uint32_t FragmentRowMultiple(const EncodeSpec& spec, const RasterLayout& layout) {
  return spec.image_format() == ImageFormat::kJpeg ? 8 * layout.unit_rows : 1;
}

absl::Status ValidateEncodeSpec(const EncodeSpec& spec, const RasterLayout& layout) {
  HISTEQ_RETURN_IF_ERROR(ValidateLayout(layout, spec.width, spec.height));
  if (const auto* jpeg = std::get_if<JpegEncodeSpec>(&spec.format))
    return ValidateJpeg(spec, *jpeg, layout);
  return ValidatePng(spec, std::get<PngEncodeSpec>(spec.format), layout);
}

}  // namespace histeq::codec
