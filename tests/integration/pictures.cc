#include "pictures.h"

#include <jpeglib.h>
#include <png.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace histeq::integration {
namespace {

[[noreturn]] void ThrowJpegError(j_common_ptr info) {
  char text[JMSG_LENGTH_MAX];
  info->err->format_message(info, text);
  throw std::runtime_error(std::string("libjpeg: ") + text);
}

void ThrowJpegWarning(j_common_ptr info, int level) {
  if (level < 0) ThrowJpegError(info);
}

Picture Decode(const std::string& file, J_COLOR_SPACE space, uint32_t channels) {
  jpeg_decompress_struct info = {};
  jpeg_error_mgr errors = {};
  info.err = jpeg_std_error(&errors);
  errors.error_exit = ThrowJpegError;
  errors.emit_message = ThrowJpegWarning;
  jpeg_create_decompress(&info);
  Picture picture;
  try {
    jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(file.data()), file.size());
    jpeg_read_header(&info, TRUE);
    info.out_color_space = space;
    jpeg_start_decompress(&info);
    picture.width = info.output_width;
    picture.height = info.output_height;
    picture.channels = channels;
    picture.samples.resize(size_t{picture.width} * picture.height * channels);
    while (info.output_scanline < info.output_height) {
      JSAMPROW row =
          picture.samples.data() + size_t{info.output_scanline} * picture.width * channels;
      jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
  } catch (...) {
    jpeg_destroy_decompress(&info);
    throw;
  }
  jpeg_destroy_decompress(&info);
  return picture;
}

}  // namespace

Picture DecodePng(const std::string& file, uint32_t channels) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_memory(&image, file.data(), file.size()) == 0) {
    throw std::runtime_error(std::string("libpng: ") + image.message);
  }
  image.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  Picture picture;
  picture.width = image.width;
  picture.height = image.height;
  picture.channels = channels;
  picture.samples.resize(PNG_IMAGE_SIZE(image));
  if (png_image_finish_read(&image, nullptr, picture.samples.data(), 0, nullptr) == 0) {
    throw std::runtime_error(std::string("libpng: ") + image.message);
  }
  return picture;
}

Picture DecodeJpeg(const std::string& file, uint32_t channels) {
  return Decode(file, channels == 1 ? JCS_GRAYSCALE : JCS_RGB, channels);
}

Picture DecodeJpegYCbCr(const std::string& file) { return Decode(file, JCS_YCbCr, 3); }

Picture Tiled(const Picture& picture, uint32_t width, uint32_t height) {
  Picture tiled;
  tiled.width = width;
  tiled.height = height;
  tiled.channels = picture.channels;
  tiled.samples.resize(size_t{width} * height * picture.channels);
  size_t at = 0;
  for (uint32_t y = 0; y < height; ++y) {
    for (uint32_t x = 0; x < width; ++x) {
      const uint32_t tile = x / picture.width + 3 * (y / picture.height);
      const size_t from =
          (size_t{y % picture.height} * picture.width + x % picture.width) * picture.channels;
      for (uint32_t channel = 0; channel < picture.channels; ++channel) {
        const uint32_t sample = picture.samples[from + channel];
        tiled.samples[at++] = static_cast<uint8_t>(sample * (240 - tile % 16 * 8) / 255);
      }
    }
  }
  return tiled;
}

namespace {

std::string WritePng(const Picture& picture, uint32_t format, const void* samples) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = picture.width;
  image.height = picture.height;
  image.format = format;
  image.flags = PNG_IMAGE_FLAG_FAST;
  std::string file(PNG_IMAGE_PNG_SIZE_MAX(image), '\0');
  png_alloc_size_t size = file.size();
  if (png_image_write_to_memory(&image, file.data(), &size, 0, samples, 0, nullptr) == 0) {
    throw std::runtime_error(std::string("libpng: ") + image.message);
  }
  file.resize(size);
  return file;
}

}  // namespace

std::string EncodePng(const Picture& picture) {
  return WritePng(picture, picture.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB,
                  picture.samples.data());
}

std::string EncodePng16(const Picture& gray) {
  std::vector<uint16_t> samples(gray.samples.size());
  for (size_t i = 0; i < samples.size(); ++i) {
    samples[i] = static_cast<uint16_t>((gray.samples[i] << 8) | ((i * 97) & 255));
  }
  return WritePng(gray, PNG_FORMAT_LINEAR_Y, samples.data());
}

namespace {

// `configure` is called after the defaults are set.
template <typename Configure>
std::string Compress(const Picture& picture, Configure configure) {
  jpeg_compress_struct info = {};
  jpeg_error_mgr errors = {};
  info.err = jpeg_std_error(&errors);
  errors.error_exit = ThrowJpegError;
  jpeg_create_compress(&info);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &buffer, &size);
  info.image_width = picture.width;
  info.image_height = picture.height;
  info.input_components = static_cast<int>(picture.channels);
  info.in_color_space = picture.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&info);
  configure(info);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(picture.samples.data()) +
                   size_t{info.next_scanline} * picture.width * picture.channels;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  std::string file(reinterpret_cast<char*>(buffer), size);
  jpeg_destroy_compress(&info);
  std::free(buffer);
  return file;
}

}  // namespace

std::string EncodeJpeg(const Picture& picture, int quality) {
  return Compress(
      picture, [quality](jpeg_compress_struct& info) { jpeg_set_quality(&info, quality, TRUE); });
}

std::string EncodeJpegLike(const Picture& gray, const std::string& file) {
  jpeg_decompress_struct like = {};
  jpeg_error_mgr errors = {};
  like.err = jpeg_std_error(&errors);
  errors.error_exit = ThrowJpegError;
  jpeg_create_decompress(&like);
  jpeg_mem_src(&like, reinterpret_cast<const unsigned char*>(file.data()), file.size());
  jpeg_read_header(&like, TRUE);
  const JQUANT_TBL* table = like.quant_tbl_ptrs[like.comp_info[0].quant_tbl_no];
  unsigned values[DCTSIZE2];
  std::copy(std::begin(table->quantval), std::end(table->quantval), values);
  jpeg_destroy_decompress(&like);
  return Compress(gray, [&values](jpeg_compress_struct& info) {
    jpeg_add_quant_table(&info, 0, values, 100, TRUE);
  });
}

Picture EqualizedByFormula(const Picture& gray) {
  std::array<uint64_t, 256> counts = {};
  for (const uint8_t sample : gray.samples) ++counts[sample];
  const uint64_t total = gray.samples.size();
  const uint64_t first =
      *std::find_if(counts.begin(), counts.end(), [](uint64_t n) { return n > 0; });
  Picture equalized = gray;
  if (first == total) return equalized;
  std::array<uint8_t, 256> table = {};
  uint64_t below = 0;
  for (size_t value = 0; value < counts.size(); ++value) {
    below += counts[value];
    if (below < first) continue;
    table[value] = static_cast<uint8_t>(std::lround(static_cast<double>(below - first) * 255.0 /
                                                    static_cast<double>(total - first)));
  }
  for (uint8_t& sample : equalized.samples) sample = table[sample];
  return equalized;
}

}  // namespace histeq::integration
