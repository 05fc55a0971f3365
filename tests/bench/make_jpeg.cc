// Writes a large JPEG made of the real pictures of tests/data: make_jpeg OUT WIDTH HEIGHT
// PICTURE... Quality 90, 4:2:0. Row by row, so that the size of the picture is no matter of memory.

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>
// After cstdio: jpeglib.h needs FILE.
#include <jpeglib.h>

#include "files.h"
#include "pictures.h"

using histeq::integration::DecodeJpeg;
using histeq::integration::DecodePng;
using histeq::integration::Picture;
using histeq::integration::ReadFile;

namespace {

// Edge of a square that shows a part of one picture.
constexpr uint32_t kCell = 512;

Picture Decode(const std::string& path) {
  const std::string file = ReadFile(path);
  return path.ends_with(".png") ? DecodePng(file, 3) : DecodeJpeg(file, 3);
}

int Run(const std::vector<std::string>& arguments) {
  if (arguments.size() < 5) {
    std::fprintf(stderr, "usage: make_jpeg OUT WIDTH HEIGHT PICTURE...\n");
    return 2;
  }
  const auto width = static_cast<uint32_t>(std::stoul(arguments[2]));
  const auto height = static_cast<uint32_t>(std::stoul(arguments[3]));
  std::vector<Picture> pictures;
  for (size_t i = 4; i < arguments.size(); ++i) pictures.push_back(Decode(arguments[i]));

  FILE* out = std::fopen(arguments[1].c_str(), "wb");
  if (out == nullptr) {
    std::perror(arguments[1].c_str());
    return 1;
  }
  jpeg_compress_struct info = {};
  jpeg_error_mgr errors = {};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  jpeg_stdio_dest(&info, out);
  info.image_width = width;
  info.image_height = height;
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 90, TRUE);
  jpeg_start_compress(&info, TRUE);
  std::vector<uint8_t> row(size_t{width} * 3);
  for (uint32_t y = 0; y < height; ++y) {
    for (uint32_t x = 0; x < width; ++x) {
      // Neighbouring cells show different pictures, different parts of them, at different
      // brightness.
      const uint32_t cell = x / kCell * 7 + y / kCell * 13;
      const Picture& picture = pictures[cell % pictures.size()];
      const uint32_t from_x = (x % kCell + cell * 101) % picture.width;
      const uint32_t from_y = (y % kCell + cell * 67) % picture.height;
      const uint8_t* pixel = &picture.samples[(size_t{from_y} * picture.width + from_x) * 3];
      for (int c = 0; c < 3; ++c) {
        row[size_t{x} * 3 + c] = static_cast<uint8_t>(pixel[c] * (255 - cell % 11 * 9) / 255);
      }
    }
    JSAMPROW pointer = row.data();
    jpeg_write_scanlines(&info, &pointer, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  return std::fclose(out) == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run({argv, argv + argc});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_jpeg: %s\n", error.what());
    return 1;
  }
}
