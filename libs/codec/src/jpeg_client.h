#pragma once

// What libjpeg's client_data points at.

#include "jpeg_markers.h"
#include "jpeg_scratch.h"

namespace histeq::codec {

struct JpegClient {
  JpegScratch* scratch = nullptr;
  JpegMarkers* markers = nullptr;
};

}  // namespace histeq::codec
