#include "jpeg_writer.h"

#include <algorithm>
#include <cstdlib>

namespace histeq::codec {
namespace {

std::vector<JpegPlane> MakePlanes(const JpegKind& kind) {
  int max_h = 1, max_v = 1;
  for (const auto& [h, v] : kind.sampling) max_h = std::max(max_h, h), max_v = std::max(max_v, v);
  const uint32_t units = (kind.height + 8 * max_v - 1) / (8 * max_v);
  std::vector<JpegPlane> planes;
  for (size_t p = 0; p < kind.sampling.size(); ++p) {
    const auto [h, v] = kind.sampling[p];
    JpegPlane plane;
    plane.stride = (kind.width * h + 8 * max_h - 1) / (8 * max_h) * 8;
    plane.rows = units * v * 8;
    for (uint32_t y = 0; y < plane.rows; ++y)
      for (uint32_t x = 0; x < plane.stride; ++x) {
        const uint32_t texture = (x * 2654435761u ^ y * 40503u ^ p * 977u) >> 27;
        plane.samples.push_back(
            static_cast<uint8_t>((40 + 60 * p + x * 3 / h + y * 2 / v + texture) % 256));
      }
    planes.push_back(std::move(plane));
  }
  return planes;
}

}  // namespace

std::vector<uint8_t> WriteJpeg(const JpegKind& kind) {
  return WriteJpegPlanes(kind, MakePlanes(kind));
}

std::vector<uint8_t> WriteJpegPlanes(const JpegKind& kind, const std::vector<JpegPlane>& planes,
                                     const std::vector<std::vector<unsigned>>& quantizers) {
  jpeg_compress_struct cinfo;
  jpeg_error_mgr errors;
  cinfo.err = jpeg_std_error(&errors);
  jpeg_create_compress(&cinfo);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&cinfo, &out, &size);
  const int count = static_cast<int>(kind.sampling.size());
  cinfo.image_width = kind.width;
  cinfo.image_height = kind.height;
  cinfo.input_components = count;
  cinfo.in_color_space = kind.space;
  jpeg_set_defaults(&cinfo);
  jpeg_set_colorspace(&cinfo, kind.space);
  jpeg_set_quality(&cinfo, kind.quality, TRUE);
  cinfo.raw_data_in = TRUE;
  cinfo.arith_code = kind.arithmetic;
  cinfo.optimize_coding = kind.optimize;
  cinfo.restart_in_rows = kind.restart_rows;
  for (size_t t = 0; t < quantizers.size(); ++t) {
    jpeg_add_quant_table(&cinfo, static_cast<int>(t), quantizers[t].data(), 100, TRUE);
    cinfo.comp_info[t].quant_tbl_no = static_cast<int>(t);
  }
  int lines = 0;
  for (int i = 0; i < count; ++i) {
    cinfo.comp_info[i].h_samp_factor = kind.sampling[static_cast<size_t>(i)].first;
    cinfo.comp_info[i].v_samp_factor = kind.sampling[static_cast<size_t>(i)].second;
    lines = std::max(lines, 8 * cinfo.comp_info[i].v_samp_factor);
  }
  std::vector<jpeg_scan_info> scans;
  if (kind.progressive) jpeg_simple_progression(&cinfo);
  if (kind.separate_scans || kind.first_scan_only) {
    for (int i = 0; i < count; ++i) scans.push_back({1, {i, 0, 0, 0}, 0, 63, 0, 0});
    cinfo.scan_info = scans.data();
    cinfo.num_scans = count;
  }
  cinfo.write_JFIF_header = kind.jfif;
  cinfo.write_Adobe_marker = kind.adobe;
  cinfo.density_unit = kind.density_unit;
  cinfo.X_density = kind.density_x;
  cinfo.Y_density = kind.density_y;
  jpeg_start_compress(&cinfo, TRUE);
  for (const auto& [marker, data] : kind.markers)
    jpeg_write_marker(&cinfo, marker, data.data(), static_cast<unsigned>(data.size()));
  for (int unit = 0; cinfo.next_scanline < cinfo.image_height; ++unit) {
    JSAMPROW rows[4][32];
    JSAMPARRAY arrays[4];
    for (size_t p = 0; p < planes.size(); ++p) {
      const int height = 8 * kind.sampling[p].second;
      for (int r = 0; r < height; ++r)
        rows[p][r] = const_cast<JSAMPROW>(
            &planes[p].samples[static_cast<size_t>(unit * height + r) * planes[p].stride]);
      arrays[p] = rows[p];
    }
    jpeg_write_raw_data(&cinfo, arrays, static_cast<JDIMENSION>(lines));
  }
  jpeg_finish_compress(&cinfo);
  std::vector<uint8_t> file(out, out + size);
  jpeg_destroy_compress(&cinfo);
  std::free(out);
  if (kind.first_scan_only) {
    // Cut before the second scan's tables or start.
    for (size_t i = 2, scans_seen = 0; i + 4 <= file.size();) {
      if (file[i] == 0xFF && file[i + 1] != 0 && (file[i + 1] < 0xD0 || file[i + 1] > 0xD7)) {
        if (scans_seen > 0) {
          file.resize(i);
          file.insert(file.end(), {0xFF, 0xD9});
          break;
        }
        if (file[i + 1] == 0xDA) ++scans_seen;
        i += 2 + (size_t{file[i + 2]} << 8 | file[i + 3]);
      } else {
        ++i;
      }
    }
  }
  return file;
}

}  // namespace histeq::codec
