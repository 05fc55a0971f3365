#include "files.h"

// jpeglib.h needs it first.
#include <cstdio>
// clang-format off
#include <jpeglib.h>
// clang-format on
#include <png.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "pictures.h"

namespace histeq::testing {
namespace {

[[noreturn]] void Throw(const std::string& what) { throw std::runtime_error(what); }

[[noreturn]] void ThrowJpeg(j_common_ptr cinfo) {
  char text[JMSG_LENGTH_MAX];
  (*cinfo->err->format_message)(cinfo, text);
  Throw(text);
}

struct JpegReader {
  jpeg_error_mgr errors{};
  jpeg_decompress_struct cinfo{};
  explicit JpegReader(const Bytes& file) {
    cinfo.err = jpeg_std_error(&errors);
    errors.error_exit = ThrowJpeg;
    jpeg_create_decompress(&cinfo);
    jpeg_mem_src(&cinfo, file.data(), file.size());
    jpeg_read_header(&cinfo, TRUE);
  }
  ~JpegReader() { jpeg_destroy_decompress(&cinfo); }
};

struct JpegWriter {
  jpeg_error_mgr errors{};
  jpeg_compress_struct cinfo{};
  unsigned char* data = nullptr;
  unsigned long size = 0;
  JpegWriter() {
    cinfo.err = jpeg_std_error(&errors);
    errors.error_exit = ThrowJpeg;
    jpeg_create_compress(&cinfo);
    jpeg_mem_dest(&cinfo, &data, &size);
  }
  ~JpegWriter() {
    jpeg_destroy_compress(&cinfo);
    std::free(data);
  }
  Bytes Finish() {
    jpeg_finish_compress(&cinfo);
    return Bytes(data, data + size);
  }
};

}  // namespace

Bytes TestFile(const std::string& name) {
  const char* folder = std::getenv("HISTEQ_TEST_DATA");
  if (folder == nullptr) Throw("HISTEQ_TEST_DATA is not set");
  std::ifstream in(std::string(folder) + "/" + name, std::ios::binary);
  if (!in) Throw("no test file " + name);
  return Bytes(std::istreambuf_iterator<char>(in), {});
}

reference::Image Photograph(const std::string& name, uint32_t channels, uint32_t width,
                            uint32_t height) {
  return pictures::Crop(pictures::Photograph(name, channels), 0, 0, width, height);
}

Bytes MakePng(const reference::Image& image, bool interlaced) {
  static constexpr int kColors[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA,
                                    PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA};
  const ImageShape& shape = image.shape;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  Bytes file;
  png_set_write_fn(
      png, &file,
      [](png_structp p, png_bytep data, size_t size) {
        auto* out = static_cast<Bytes*>(png_get_io_ptr(p));
        out->insert(out->end(), data, data + size);
      },
      nullptr);
  png_set_compression_level(png, 1);
  png_set_filter(png, 0, PNG_FILTER_SUB);
  png_set_IHDR(png, info, shape.width, shape.height, static_cast<int>(shape.bits_per_sample),
               kColors[shape.channels - 1], interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  const uint32_t bytes = shape.bits_per_sample / 8;
  const size_t row_samples = size_t{shape.width} * shape.channels;
  std::vector<Bytes> rows(shape.height, Bytes(row_samples * bytes));
  std::vector<png_bytep> pointers;
  for (uint32_t y = 0; y < shape.height; ++y) {
    for (size_t i = 0; i < row_samples; ++i) {
      const uint32_t v = image.samples[y * row_samples + i];
      if (bytes == 2) rows[y][2 * i] = static_cast<uint8_t>(v >> 8);
      rows[y][bytes * i + bytes - 1] = static_cast<uint8_t>(v);
    }
    pointers.push_back(rows[y].data());
  }
  png_write_image(png, pointers.data());
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return file;
}

Bytes MakeJpeg(const reference::Image& image, const JpegOptions& options) {
  JpegWriter writer;
  jpeg_compress_struct& c = writer.cinfo;
  c.image_width = image.shape.width;
  c.image_height = image.shape.height;
  c.input_components = static_cast<int>(image.shape.channels);
  c.in_color_space = image.shape.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&c);
  jpeg_set_quality(&c, options.quality, TRUE);
  if (image.shape.channels == 3) {
    c.comp_info[0].h_samp_factor = options.horizontal;
    c.comp_info[0].v_samp_factor = options.vertical;
  }
  if (options.progressive) jpeg_simple_progression(&c);
  jpeg_start_compress(&c, TRUE);
  const size_t row_samples = size_t{image.shape.width} * image.shape.channels;
  Bytes row(row_samples);
  for (uint32_t y = 0; y < image.shape.height; ++y) {
    for (size_t i = 0; i < row_samples; ++i)
      row[i] = static_cast<uint8_t>(image.samples[y * row_samples + i]);
    JSAMPROW pointer = row.data();
    jpeg_write_scanlines(&c, &pointer, 1);
  }
  return writer.Finish();
}

reference::Image DecodePng(const Bytes& file) {
  struct Input {
    const Bytes& file;
    size_t at = 0;
  } input{file};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_read_fn(png, &input, [](png_structp p, png_bytep data, size_t size) {
    auto* in = static_cast<Input*>(png_get_io_ptr(p));
    if (size > in->file.size() - in->at) png_error(p, "the file is short");
    std::memcpy(data, in->file.data() + in->at, size);
    in->at += size;
  });
  png_read_info(png, info);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  reference::Image image;
  image.shape.width = png_get_image_width(png, info);
  image.shape.height = png_get_image_height(png, info);
  image.shape.channels = png_get_channels(png, info);
  image.shape.bits_per_sample = png_get_bit_depth(png, info);
  image.shape.has_alpha = image.shape.channels % 2 == 0;
  const size_t stride = png_get_rowbytes(png, info);
  Bytes all(stride * image.shape.height);
  std::vector<png_bytep> rows;
  for (uint32_t y = 0; y < image.shape.height; ++y) rows.push_back(all.data() + y * stride);
  png_read_image(png, rows.data());
  png_read_end(png, nullptr);
  png_destroy_read_struct(&png, &info, nullptr);
  const bool deep = image.shape.bits_per_sample == 16;
  for (size_t i = 0; i < all.size(); i += deep ? 2 : 1)
    image.samples.push_back(deep ? uint32_t{all[i]} << 8 | all[i + 1] : all[i]);
  return image;
}

reference::Image DecodeJpeg(const Bytes& file) {
  JpegReader reader(file);
  jpeg_decompress_struct& d = reader.cinfo;
  jpeg_start_decompress(&d);
  reference::Image image;
  image.shape = {.width = d.output_width,
                 .height = d.output_height,
                 .channels = static_cast<uint32_t>(d.output_components)};
  Bytes row(size_t{d.output_width} * image.shape.channels);
  while (d.output_scanline < d.output_height) {
    JSAMPROW pointer = row.data();
    jpeg_read_scanlines(&d, &pointer, 1);
    image.samples.insert(image.samples.end(), row.begin(), row.end());
  }
  jpeg_finish_decompress(&d);
  return image;
}

Planes DecodeWhole(const Bytes& file, codec::SampleMode mode) {
  TestSource source(file);
  codec::DecodeOptions options;
  options.mode = mode;
  auto decoder = codec::OpenDecoder(source, options);
  if (!decoder.ok()) Throw(std::string(decoder.status().message()));
  Planes planes{(*decoder)->layout(), (*decoder)->encode_spec(), {}};
  const uint32_t height = (*decoder)->info().height;
  planes.samples.resize(codec::SegmentBytes(planes.layout, height));
  const absl::Status status = (*decoder)->ReadRows(height, planes.samples);
  if (!status.ok()) Throw(std::string(status.message()));
  return planes;
}

std::vector<int16_t> Coefficients(const Bytes& file) {
  JpegReader reader(file);
  jpeg_decompress_struct& d = reader.cinfo;
  jvirt_barray_ptr* arrays = jpeg_read_coefficients(&d);
  std::vector<int16_t> all;
  for (int c = 0; c < d.num_components; ++c) {
    const jpeg_component_info& component = d.comp_info[c];
    for (JDIMENSION y = 0; y < component.height_in_blocks; ++y) {
      JBLOCKARRAY row =
          (*d.mem->access_virt_barray)(reinterpret_cast<j_common_ptr>(&d), arrays[c], y, 1, FALSE);
      for (JDIMENSION x = 0; x < component.width_in_blocks; ++x)
        all.insert(all.end(), row[0][x], row[0][x] + DCTSIZE2);
    }
  }
  jpeg_finish_decompress(&d);
  return all;
}

Bytes EncodePlanes(const Planes& planes) {
  const auto& spec = std::get<codec::JpegEncodeSpec>(planes.encode.format);
  JpegWriter writer;
  jpeg_compress_struct& c = writer.cinfo;
  c.image_width = planes.encode.width;
  c.image_height = planes.encode.height;
  c.input_components = static_cast<int>(spec.components.size());
  c.in_color_space = spec.components.size() == 1 ? JCS_GRAYSCALE : JCS_YCbCr;
  jpeg_set_defaults(&c);
  c.raw_data_in = TRUE;
  for (size_t t = 0; t < spec.quant_tables.size(); ++t) {
    unsigned values[64];
    for (int i = 0; i < 64; ++i) values[i] = spec.quant_tables[t][i];
    jpeg_add_quant_table(&c, static_cast<int>(t), values, 100, TRUE);
  }
  for (size_t i = 0; i < spec.components.size(); ++i) {
    c.comp_info[i].h_samp_factor = static_cast<int>(spec.components[i].horizontal_sampling);
    c.comp_info[i].v_samp_factor = static_cast<int>(spec.components[i].vertical_sampling);
    c.comp_info[i].quant_tbl_no = static_cast<int>(spec.components[i].quant_table);
  }
  jpeg_start_compress(&c, TRUE);
  const uint32_t unit = planes.layout.unit_rows;
  Bytes samples = planes.samples;
  while (c.next_scanline < c.image_height) {
    std::vector<std::vector<JSAMPROW>> rows(planes.layout.planes.size());
    std::vector<JSAMPARRAY> pointers;
    for (size_t p = 0; p < rows.size(); ++p) {
      const uint64_t first = codec::PlaneRows(planes.layout, p, c.next_scanline);
      const uint64_t stride = codec::PlaneStride(planes.layout.planes[p]);
      for (uint64_t r = 0; r < codec::PlaneRows(planes.layout, p, unit); ++r)
        rows[p].push_back(samples.data() +
                          codec::PlaneOffset(planes.layout, p, planes.encode.height) +
                          (first + r) * stride);
      pointers.push_back(rows[p].data());
    }
    jpeg_write_raw_data(&c, pointers.data(), unit);
  }
  return writer.Finish();
}

}  // namespace histeq::testing
