#pragma once

// Rows of samples out of the bytes of an image file.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/byte_stream.h"
#include "base/memory_budget.h"
#include "codec/encode_spec.h"
#include "codec/image_info.h"
#include "codec/raster_layout.h"

namespace histeq::codec {

enum class SampleMode {
  // A gray or YCbCr JPEG stays in its planes, with its own sampling. Other images as kInterleaved.
  kRawPlanes,
  // Gray, gray and alpha, RGB or RGBA in one plane; JPEG colours are decoded to RGB.
  kInterleaved,
  // For measuring, not for encoding: as kInterleaved, but the pixels of a YCbCr JPEG are Y, Cb and
  // Cr. Then color_transform of the encode spec is kYCbCr, and the layout has one plane.
  kInterleavedYCbCr,
};

// How small a JPEG is decoded, which costs less than to decode it whole.
struct JpegScale {
  // 1, 2, 4 or 8: width and height are divided by it, and rounded up.
  uint32_t denominator = 1;
  // Whether colours that are stored at a lower resolution are interpolated, or repeated.
  bool smooth_colors = true;
};

struct DecodeOptions {
  DecodeLimits limits = {};
  SampleMode mode = SampleMode::kRawPlanes;
  // For what must wait whole (coefficients of a progressive JPEG, rows of an interlaced PNG): from
  // the budget while it lasts, otherwise in an unlinked file in scratch_dir. Null: always a file.
  base::MemoryBudget* budget = nullptr;
  std::string scratch_dir = "/var/tmp";
  // When set, the image is decoded to be looked at, not to be encoded again: `mode` counts as
  // kInterleaved, gray JPEGs have no padding, and a JPEG has the scale that this answers. Asked
  // once, when the header is read.
  std::function<JpegScale(const ImageInfo& info, uint32_t orientation)> jpeg_scale = nullptr;
};

// Ancillary data that the output carries on.
struct Metadata {
  struct Piece {
    // JPEG: marker code (0xE1 and the like). PNG: unused.
    int marker = 0;
    // JPEG: the marker's payload. PNG: the whole chunk, with length, type and CRC.
    std::vector<uint8_t> bytes;
  };
  std::vector<Piece> pieces;
  // JPEG: the JFIF header's density; unit 0 (aspect), 1 (per inch), 2 (per cm).
  bool has_jfif = false;
  uint8_t density_unit = 0;
  uint16_t density_x = 1;
  uint16_t density_y = 1;
};

// One image on its way through. Not thread-safe. Reads its source as far as it needs; the source
// outlives it. After an error only destruction is allowed.
// Errors: INVALID_ARGUMENT with the reasons of ProbeImage and IMAGE_CORRUPT, IMAGE_TRUNCATED,
// TOO_MANY_SCANS; RESOURCE_EXHAUSTED (DISK_FULL, SCRATCH_FAILED) for scratch space; what the source
// answers.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual const ImageInfo& info() const = 0;
  virtual const RasterLayout& layout() const = 0;
  // How the output is encoded: in the source's format, with its sampling and quantization. Width
  // and height are those that are decoded. With DecodeOptions::jpeg_scale nothing else of it is set
  // for a JPEG.
  virtual const EncodeSpec& encode_spec() const = 0;

  // As codec/orientation.h says. Of a PNG, EXIF data behind the pixels does not count.
  virtual uint32_t orientation() const = 0;

  // Decodes the next `rows` image rows: a multiple of layout().unit_rows, or all that remain.
  // `segment` is SegmentBytes(layout(), rows) long.
  virtual absl::Status ReadRows(uint32_t rows, std::span<uint8_t> segment) = 0;

  // After the last row: reads and checks the rest of the file.
  virtual absl::Status Finish() = 0;

  // Complete after Finish(); a JPEG's from the beginning.
  virtual const Metadata& metadata() const = 0;
};

// Reads the header (and all of a progressive image). Errors as in Decoder.
absl::StatusOr<std::unique_ptr<Decoder>> OpenDecoder(base::ByteSource& source,
                                                     const DecodeOptions& options);

}  // namespace histeq::codec
