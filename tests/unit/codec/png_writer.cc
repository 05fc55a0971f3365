#include "png_writer.h"

#include <png.h>

#include <algorithm>

namespace histeq::codec {

std::vector<uint8_t> WritePng(const PngKind& kind) {
  std::vector<uint8_t> file;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &file,
      [](png_structp p, png_bytep data, size_t size) {
        auto* out = static_cast<std::vector<uint8_t>*>(png_get_io_ptr(p));
        out->insert(out->end(), data, data + size);
      },
      nullptr);
  png_set_compression_level(png, kind.compression);
  png_set_IHDR(png, info, kind.width, kind.height, kind.bit_depth, kind.color_type,
               kind.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, 0, 0);
  const int colors = kind.palette_size > 0 ? kind.palette_size : 1 << std::min(kind.bit_depth, 8);
  std::vector<png_color> palette;
  std::vector<png_byte> alphas;
  for (int i = 0; i < colors; ++i) {
    palette.push_back({static_cast<png_byte>(i * 37), static_cast<png_byte>(255 - i * 11),
                       static_cast<png_byte>(i * i)});
    if (i <= colors / 2) alphas.push_back(static_cast<png_byte>(i * 29));
  }
  if (kind.color_type == PNG_COLOR_TYPE_PALETTE) png_set_PLTE(png, info, palette.data(), colors);

  const uint32_t channels = png_get_channels(png, info);
  const size_t row_bytes = (size_t{kind.width} * channels * kind.bit_depth + 7) / 8;
  std::vector<uint8_t> pixels(row_bytes * kind.height);
  for (uint32_t y = 0; y < kind.height; ++y)
    for (size_t i = 0; i < row_bytes; ++i) {
      const auto texture = static_cast<uint32_t>((i * 2654435761u ^ y * 40503u) >> 28);
      auto value = static_cast<uint8_t>(i * 2 / channels + y * 3 + texture);
      if (kind.color_type == PNG_COLOR_TYPE_PALETTE) {
        // Each index within the palette.
        uint8_t packed = 0;
        for (int bit = 0; bit < 8; bit += kind.bit_depth)
          packed = static_cast<uint8_t>(packed | (((value >> bit) + bit) % colors)
                                                     << (8 - kind.bit_depth - bit));
        value = packed;
      }
      pixels[y * row_bytes + i] = value;
    }
  if (kind.transparent) {
    png_color_16 color{};
    // The first pixel's.
    auto sample = [&](size_t c) -> png_uint_16 {
      if (kind.bit_depth == 16)
        return static_cast<png_uint_16>(pixels[2 * c] << 8 | pixels[2 * c + 1]);
      if (kind.bit_depth == 8) return pixels[c];
      return static_cast<png_uint_16>(pixels[0] >> (8 - kind.bit_depth));
    };
    color.gray = sample(0);
    if (channels >= 3) color.red = sample(0), color.green = sample(1), color.blue = sample(2);
    png_set_tRNS(png, info, alphas.data(), static_cast<int>(alphas.size()), &color);
  }
  png_write_info(png, info);
  std::vector<png_bytep> rows;
  for (uint32_t y = 0; y < kind.height; ++y) rows.push_back(&pixels[y * row_bytes]);
  png_write_image(png, rows.data());
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return file;
}

std::vector<uint8_t> WithChunk(const std::vector<uint8_t>& file, const reference::PngChunk& chunk,
                               const std::string& before) {
  std::vector<reference::PngChunk> chunks = reference::SplitPng(file);
  const auto at =
      std::find_if(chunks.begin(), chunks.end(), [&](const auto& c) { return c.type == before; });
  chunks.insert(at, chunk);
  return reference::JoinPng(chunks);
}

}  // namespace histeq::codec
