#pragma once

// The markers of a JPEG header that the output carries on. libjpeg can keep markers itself, but
// without a limit, and a file of empty comments would take many times its size.

#include <cstdint>
#include <vector>

#include "codec/decoder.h"
#include "jpeg_error.h"

namespace histeq::codec {

struct JpegMarkers {
  uint64_t limit_bytes = 0;
  uint64_t used_bytes = 0;
  std::vector<Metadata::Piece> pieces;
};

// Keeps markers from now on. `markers` is found through the client_data of `cinfo`.
void KeepJpegMarkers(j_decompress_ptr cinfo);

// Skips markers from now on: those between the scans of a hostile file would pile up.
void SkipJpegMarkers(j_decompress_ptr cinfo);

}  // namespace histeq::codec
