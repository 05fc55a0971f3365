// The least that anybody must do: decodes a YCbCr JPEG to its planes and encodes them again with
// the same tables, in one thread, straight through: recode_jpeg IN OUT

#include <cstdio>
#include <cstdlib>
#include <vector>
// After cstdio: jpeglib.h needs FILE.
#include <jpeglib.h>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: recode_jpeg IN OUT\n");
    return 2;
  }
  FILE* in = std::fopen(argv[1], "rb");
  FILE* out = std::fopen(argv[2], "wb");
  if (in == nullptr || out == nullptr) {
    std::perror("recode_jpeg");
    return 1;
  }
  jpeg_error_mgr errors = {};
  jpeg_decompress_struct source = {};
  source.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&source);
  jpeg_stdio_src(&source, in);
  jpeg_read_header(&source, TRUE);
  if (source.jpeg_color_space != JCS_YCbCr) {
    std::fprintf(stderr, "recode_jpeg: not a YCbCr JPEG\n");
    return 1;
  }
  source.raw_data_out = TRUE;
  source.out_color_space = JCS_YCbCr;
  jpeg_start_decompress(&source);

  jpeg_compress_struct target = {};
  target.err = jpeg_std_error(&errors);
  jpeg_create_compress(&target);
  jpeg_stdio_dest(&target, out);
  target.image_width = source.image_width;
  target.image_height = source.image_height;
  target.input_components = 3;
  target.in_color_space = JCS_YCbCr;
  jpeg_set_defaults(&target);
  for (int t = 0; t < NUM_QUANT_TBLS; ++t) {
    if (source.quant_tbl_ptrs[t] == nullptr) continue;
    unsigned values[DCTSIZE2];
    for (int i = 0; i < DCTSIZE2; ++i) values[i] = source.quant_tbl_ptrs[t]->quantval[i];
    jpeg_add_quant_table(&target, t, values, 100, TRUE);
  }
  for (int c = 0; c < 3; ++c) {
    target.comp_info[c].h_samp_factor = source.comp_info[c].h_samp_factor;
    target.comp_info[c].v_samp_factor = source.comp_info[c].v_samp_factor;
    target.comp_info[c].quant_tbl_no = source.comp_info[c].quant_tbl_no;
  }
  target.raw_data_in = TRUE;
  jpeg_start_compress(&target, TRUE);

  const JDIMENSION lines = static_cast<JDIMENSION>(source.max_v_samp_factor) * DCTSIZE;
  std::vector<std::vector<JSAMPLE>> planes(3);
  std::vector<std::vector<JSAMPROW>> rows(3);
  JSAMPARRAY pointers[3];
  for (int c = 0; c < 3; ++c) {
    const size_t stride = size_t{source.comp_info[c].width_in_blocks} * DCTSIZE + 64;
    const size_t height = static_cast<size_t>(source.comp_info[c].v_samp_factor) * DCTSIZE;
    planes[c].resize(stride * height);
    for (size_t r = 0; r < height; ++r) rows[c].push_back(&planes[c][r * stride]);
    pointers[c] = rows[c].data();
  }
  while (source.output_scanline < source.output_height) {
    jpeg_read_raw_data(&source, pointers, lines);
    jpeg_write_raw_data(&target, pointers, lines);
  }
  jpeg_finish_compress(&target);
  jpeg_finish_decompress(&source);
  jpeg_destroy_compress(&target);
  jpeg_destroy_decompress(&source);
  std::fclose(in);
  return std::fclose(out) == 0 ? 0 : 1;
}
