#pragma once

// A picture through decoder, fragments and stitcher, as the engine does it.

#include <span>
#include <string>
#include <vector>

#include "codec/decoder.h"
#include "codec/fragment.h"

namespace histeq::codec {

struct DecodedSegment {
  uint32_t first_row = 0, rows = 0;
  std::vector<uint8_t> bytes;
};

struct Decoded {
  ImageInfo info;
  RasterLayout layout;
  EncodeSpec spec;
  Metadata metadata;
  std::vector<DecodedSegment> segments;
};

// Decodes in segments of `units` times FragmentRowMultiple rows; 0: all in one.
absl::StatusOr<Decoded> DecodeAll(std::span<const uint8_t> file, const DecodeOptions& options = {},
                                  uint32_t units = 0, size_t piece = SIZE_MAX);

// Encodes each segment and stitches.
absl::StatusOr<std::vector<uint8_t>> EncodeAll(const Decoded& decoded);

// The visible samples of a plane, rows without gaps.
std::vector<uint8_t> VisiblePlane(const Decoded& decoded, size_t plane);

// "INVALID_ARGUMENT IMAGE_CORRUPT", or "OK".
std::string Reason(const absl::Status& status);

}  // namespace histeq::codec
