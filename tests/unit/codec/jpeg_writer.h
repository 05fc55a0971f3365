#pragma once

// Every kind of JPEG, made with libjpeg from planes of a smooth picture with some texture.

#include <cstdint>
#include <cstdio>
// After cstdio: jpeglib.h needs FILE.
#include <jpeglib.h>

#include <utility>
#include <vector>

namespace histeq::codec {

struct JpegKind {
  uint32_t width = 17, height = 33;
  J_COLOR_SPACE space = JCS_YCbCr;
  // (horizontal, vertical) for each component.
  std::vector<std::pair<int, int>> sampling = {{2, 2}, {1, 1}, {1, 1}};
  int quality = 85;
  bool progressive = false;
  // A sequential scan for each component.
  bool separate_scans = false;
  // With it, only the scan of the first component is written.
  bool first_scan_only = false;
  bool arithmetic = false;
  bool optimize = false;
  int restart_rows = 0;
  bool jfif = true;
  bool adobe = false;
  uint8_t density_unit = 0;
  uint16_t density_x = 1, density_y = 1;
  // Marker and payload.
  std::vector<std::pair<int, std::vector<uint8_t>>> markers = {};
};

std::vector<uint8_t> WriteJpeg(const JpegKind& kind);

// A plane in libjpeg's raw form: whole blocks wide, whole rows of MCUs high.
struct JpegPlane {
  uint32_t stride = 0, rows = 0;
  std::vector<uint8_t> samples;
};

// Writes the given planes instead, with given quantizers (natural order, by component).
std::vector<uint8_t> WriteJpegPlanes(const JpegKind& kind, const std::vector<JpegPlane>& planes,
                                     const std::vector<std::vector<unsigned>>& quantizers = {});

}  // namespace histeq::codec
