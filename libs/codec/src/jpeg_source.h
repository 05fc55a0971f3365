#pragma once

// libjpeg's data source over a ByteSource.

#include <array>
#include <cstdint>

#include "base/byte_stream.h"
#include "jpeg_error.h"

namespace histeq::codec {

struct JpegSource {
  // First: libjpeg hands back a pointer to it.
  jpeg_source_mgr manager;
  base::ByteSource* bytes = nullptr;
  uint64_t taken_bytes = 0;
  // Before the first scan no more than this is read, since libjpeg keeps markers in memory.
  uint64_t header_limit_bytes = 0;
  bool in_header = true;
  std::array<uint8_t, 256 * 1024> buffer;
};

void InitJpegSource(JpegSource& source, base::ByteSource& bytes, uint64_t header_limit_bytes);

}  // namespace histeq::codec
