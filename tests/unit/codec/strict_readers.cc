#include "strict_readers.h"

#include <png.h>

#include <csetjmp>
#include <cstring>

namespace histeq::codec {
namespace {

struct StrictErrors {
  jpeg_error_mgr manager;
  jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
};

void FailAll(j_common_ptr cinfo) {
  auto* errors = reinterpret_cast<StrictErrors*>(cinfo->err);
  cinfo->err->format_message(cinfo, errors->text);
  longjmp(errors->jump, 1);
}

// All state that must survive a longjmp.
struct JpegRead {
  StrictErrors errors{};
  jpeg_decompress_struct cinfo{};
  std::vector<JpegPlane> planes;
  std::vector<uint8_t> rows;
};

void Open(JpegRead& r, const std::vector<uint8_t>& file) {
  r.cinfo.err = jpeg_std_error(&r.errors.manager);
  r.errors.manager.error_exit = FailAll;
  r.errors.manager.emit_message = [](j_common_ptr c, int level) {
    if (level < 0) FailAll(c);
  };
  jpeg_create_decompress(&r.cinfo);
  jpeg_mem_src(&r.cinfo, file.data(), file.size());
}

void ReadPlanes(JpegRead& r) {
  jpeg_read_header(&r.cinfo, TRUE);
  r.cinfo.raw_data_out = TRUE;
  r.cinfo.out_color_space = r.cinfo.jpeg_color_space;
  r.cinfo.do_block_smoothing = FALSE;
  jpeg_start_decompress(&r.cinfo);
  const uint32_t lines = 8u * static_cast<uint32_t>(r.cinfo.max_v_samp_factor);
  const uint32_t units = (r.cinfo.image_height + lines - 1) / lines;
  r.planes.resize(static_cast<size_t>(r.cinfo.num_components));
  for (size_t p = 0; p < r.planes.size(); ++p) {
    JpegPlane& plane = r.planes[p];
    plane.stride = r.cinfo.comp_info[p].width_in_blocks * 8;
    plane.rows = units * 8u * static_cast<uint32_t>(r.cinfo.comp_info[p].v_samp_factor);
    plane.samples.resize(size_t{plane.stride} * plane.rows);
  }
  for (uint32_t unit = 0; unit < units; ++unit) {
    JSAMPROW rows[4][32];
    JSAMPARRAY arrays[4];
    for (size_t p = 0; p < r.planes.size(); ++p) {
      const uint32_t height = r.planes[p].rows / units;
      for (uint32_t i = 0; i < height; ++i)
        rows[p][i] = &r.planes[p].samples[(size_t{unit} * height + i) * r.planes[p].stride];
      arrays[p] = rows[p];
    }
    jpeg_read_raw_data(&r.cinfo, arrays, lines);
  }
  jpeg_finish_decompress(&r.cinfo);
}

void ReadRows(JpegRead& r, J_COLOR_SPACE space, bool replicate) {
  jpeg_read_header(&r.cinfo, TRUE);
  r.cinfo.out_color_space = space;
  r.cinfo.do_fancy_upsampling = !replicate;
  r.cinfo.do_block_smoothing = FALSE;
  jpeg_start_decompress(&r.cinfo);
  const size_t stride =
      size_t{r.cinfo.output_width} * static_cast<size_t>(r.cinfo.output_components);
  r.rows.resize(stride * r.cinfo.output_height);
  while (r.cinfo.output_scanline < r.cinfo.output_height) {
    JSAMPROW row = r.rows.data() + stride * r.cinfo.output_scanline;
    jpeg_read_scanlines(&r.cinfo, &row, 1);
  }
  jpeg_finish_decompress(&r.cinfo);
}

template <typename F>
void Guarded(JpegRead& r, const std::vector<uint8_t>& file, std::string& error, F f) {
  if (setjmp(r.errors.jump) == 0) {
    Open(r, file);
    f();
    error.clear();
  } else {
    error = r.errors.text;
  }
  jpeg_destroy_decompress(&r.cinfo);
}

}  // namespace

std::vector<JpegPlane> ReadJpegPlanes(const std::vector<uint8_t>& file, std::string& error) {
  JpegRead r;
  Guarded(r, file, error, [&] { ReadPlanes(r); });
  return std::move(r.planes);
}

std::vector<uint8_t> ReadJpegRows(const std::vector<uint8_t>& file, J_COLOR_SPACE space,
                                  bool replicate, std::string& error) {
  JpegRead r;
  Guarded(r, file, error, [&] { ReadRows(r, space, replicate); });
  return std::move(r.rows);
}

namespace {

struct PngRead {
  std::string complaint;
  const std::vector<uint8_t>* file = nullptr;
  size_t at = 0;
  std::vector<uint8_t> row;
};

void KeepComplaint(png_structp png, png_const_charp text) {
  static_cast<PngRead*>(png_get_error_ptr(png))->complaint = text;
}
[[noreturn]] void Complain(png_structp png, png_const_charp text) {
  KeepComplaint(png, text);
  png_longjmp(png, 1);
}

}  // namespace

std::string PngComplaint(const std::vector<uint8_t>& file) {
  PngRead r;
  r.file = &file;
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, Complain, Complain);
  png_infop info = png_create_info_struct(png);
  if (setjmp(png_jmpbuf(png)) == 0) {
    png_set_read_fn(png, &r, [](png_structp p, png_bytep out, size_t size) {
      auto* in = static_cast<PngRead*>(png_get_io_ptr(p));
      if (in->file->size() - in->at < size) png_error(p, "the file is too short");
      std::memcpy(out, in->file->data() + in->at, size);
      in->at += size;
    });
    png_read_info(png, info);
    r.row.resize(png_get_rowbytes(png, info));
    const uint32_t height = png_get_image_height(png, info);
    for (uint32_t y = 0; y < height; ++y) png_read_row(png, r.row.data(), nullptr);
    png_read_end(png, info);
    if (r.at != file.size()) r.complaint = "bytes after the end";
  }
  png_destroy_read_struct(&png, &info, nullptr);
  return r.complaint;
}

}  // namespace histeq::codec
