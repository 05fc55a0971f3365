#pragma once

// What a thumbnail shows of its image, and in which size.

#include <cstdint>

#include "codec/decoder.h"
#include "engine/thumbnail_parameters.h"
#include "resize/resampler.h"

namespace histeq::engine {

struct ThumbnailGeometry {
  // Of the result.
  uint32_t width = 0;
  uint32_t height = 0;
  // What becomes it, in pixels of the image.
  resize::Region region;
};

// For an upright image of this size.
ThumbnailGeometry GeometryOf(const ThumbnailParameters& parameters, uint32_t width,
                             uint32_t height);

// As an image of this size is stored that is turned by `orientation` to be upright: the result
// before it is turned.
ThumbnailGeometry StoredGeometryOf(const ThumbnailParameters& parameters, uint32_t width,
                                   uint32_t height, uint32_t orientation);

// The smallest scale of a JPEG that leaves the resampling enough to work on (docs/adr/0010). Where
// light is averaged it is the whole: a decoder that scales averages samples.
codec::JpegScale ScaleFor(const ThumbnailGeometry& stored, bool linear_light);

}  // namespace histeq::engine
