#include "pictures.h"

#include <png.h>

#include <cstdio>
// After cstdio
#include <jpeglib.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <vector>

namespace histeq::pictures {
namespace {

std::string PathOf(const std::string& name) {
  const char* folder = std::getenv("HISTEQ_TEST_DATA");
  return std::string(folder == nullptr ? "tests/data" : folder) + "/" + name;
}

reference::Image FromBytes(uint32_t width, uint32_t height, uint32_t channels,
                           const std::vector<uint8_t>& bytes) {
  reference::Image image;
  image.shape.width = width;
  image.shape.height = height;
  image.shape.channels = channels;
  image.samples.assign(bytes.begin(), bytes.end());
  return image;
}

reference::Image ReadPng(const std::string& path, uint32_t channels) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_file(&png, path.c_str()) == 0) {
    throw std::runtime_error(path + ": " + png.message);
  }
  png.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  std::vector<uint8_t> bytes(PNG_IMAGE_SIZE(png));
  if (png_image_finish_read(&png, nullptr, bytes.data(), 0, nullptr) == 0) {
    throw std::runtime_error(path + ": " + png.message);
  }
  return FromBytes(png.width, png.height, channels, bytes);
}

reference::Image ReadJpeg(const std::string& path, uint32_t channels) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (file == nullptr) throw std::runtime_error(path + ": cannot be opened");
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  errors.error_exit = [](j_common_ptr) { throw std::runtime_error("not a good JPEG file"); };
  jpeg_create_decompress(&jpeg);
  jpeg_stdio_src(&jpeg, file.get());
  jpeg_read_header(&jpeg, TRUE);
  jpeg.out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&jpeg);
  std::vector<uint8_t> bytes(size_t{jpeg.output_width} * jpeg.output_height * channels);
  while (jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW row = bytes.data() + size_t{jpeg.output_scanline} * jpeg.output_width * channels;
    jpeg_read_scanlines(&jpeg, &row, 1);
  }
  const reference::Image image = FromBytes(jpeg.output_width, jpeg.output_height, channels, bytes);
  jpeg_finish_decompress(&jpeg);
  jpeg_destroy_decompress(&jpeg);
  return image;
}

}  // namespace

reference::Image Photograph(const std::string& name, uint32_t channels) {
  return name.ends_with(".png") ? ReadPng(PathOf(name), channels)
                                : ReadJpeg(PathOf(name), channels);
}

reference::Image GrayPng(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (file == nullptr) throw std::runtime_error(path + ": cannot be opened");
  png_structp png = png_create_read_struct(
      PNG_LIBPNG_VER_STRING, nullptr,
      [](png_structp, png_const_charp message) { throw std::runtime_error(message); }, nullptr);
  png_infop info = png_create_info_struct(png);
  png_init_io(png, file.get());
  // Little-endian samples.
  png_read_png(png, info, PNG_TRANSFORM_SWAP_ENDIAN, nullptr);
  reference::Image image;
  image.shape.width = png_get_image_width(png, info);
  image.shape.height = png_get_image_height(png, info);
  image.shape.bits_per_sample = png_get_bit_depth(png, info);
  const png_bytepp rows = png_get_rows(png, info);
  for (uint32_t y = 0; y < image.shape.height; ++y) {
    for (uint32_t x = 0; x < image.shape.width; ++x) {
      image.samples.push_back(image.shape.bits_per_sample == 8
                                  ? rows[y][x]
                                  : uint32_t{rows[y][2 * x]} | uint32_t{rows[y][2 * x + 1]} << 8);
    }
  }
  png_destroy_read_struct(&png, &info, nullptr);
  return image;
}

reference::Image Crop(const reference::Image& image, uint32_t x, uint32_t y, uint32_t width,
                      uint32_t height) {
  reference::Image cropped;
  cropped.shape = image.shape;
  cropped.shape.width = width;
  cropped.shape.height = height;
  for (uint32_t row = 0; row < height; ++row) {
    for (uint32_t column = 0; column < width; ++column) {
      const uint32_t* pixel =
          image.Pixel((x + column) % image.shape.width, (y + row) % image.shape.height);
      cropped.samples.insert(cropped.samples.end(), pixel, pixel + image.shape.channels);
    }
  }
  return cropped;
}

reference::Image Deepened(const reference::Image& image) {
  reference::Image deep = image;
  deep.shape.bits_per_sample = 16;
  for (size_t i = 0; i < deep.samples.size(); ++i) {
    const auto pattern = static_cast<uint32_t>((i * 2654435761u) >> 8 & 255);
    deep.samples[i] = image.samples[i] * 256 + pattern;
  }
  return deep;
}

reference::Image WithAlpha(const reference::Image& image) {
  reference::Image with;
  with.shape = image.shape;
  with.shape.channels += 1;
  with.shape.has_alpha = true;
  for (uint32_t y = 0; y < image.shape.height; ++y) {
    for (uint32_t x = 0; x < image.shape.width; ++x) {
      const uint32_t* pixel = image.Pixel(x, y);
      with.samples.insert(with.samples.end(), pixel, pixel + image.shape.channels);
      with.samples.push_back((x + y) % (SampleValues(image.shape) / 4));
    }
  }
  return with;
}

}  // namespace histeq::pictures
