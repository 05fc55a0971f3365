#pragma once

// Files read by libjpeg and libpng in their plainest way, where each warning counts as a failure.

#include <string>
#include <vector>

#include "jpeg_writer.h"

namespace histeq::codec {

// Raw planes of a JPEG. `error` is empty or what libjpeg said.
std::vector<JpegPlane> ReadJpegPlanes(const std::vector<uint8_t>& file, std::string& error);

// Rows of samples in the given colours, without smooth upsampling when `replicate`.
std::vector<uint8_t> ReadJpegRows(const std::vector<uint8_t>& file, J_COLOR_SPACE space,
                                  bool replicate, std::string& error);

// Empty, or what libpng complains of when it reads the whole file.
std::string PngComplaint(const std::vector<uint8_t>& file);

}  // namespace histeq::codec
