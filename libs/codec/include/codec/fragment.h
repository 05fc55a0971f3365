#pragma once

// Segments to fragments, fragments to a file.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/byte_stream.h"
#include "base/cancel.h"
#include "codec/decoder.h"
#include "codec/encode_spec.h"
#include "codec/raster_layout.h"

namespace histeq::codec {

struct Fragment {
  // JPEG: entropy-coded data, with the restart marker after it unless it is the last. PNG: complete
  // IDAT chunks.
  std::vector<uint8_t> bytes;
  // PNG: Adler-32 (started at 1) of the filtered bytes, and how many these are.
  uint32_t adler32 = 1;
  uint64_t raw_bytes = 0;
};

// Encodes rows [first_row, first_row + rows) of an image. Both are multiples of
// FragmentRowMultiple(), unless the segment is the last. `segment` is SegmentBytes(layout, rows)
// long. The spec fits the layout (ValidateEncodeSpec). `token` is asked before each run of rows: a
// row of MCUs, or 256 KiB of samples and at least one row for PNG. Thread-safe. The bytes depend on
// the other arguments alone.
// - INVALID_ARGUMENT (INVALID_SEGMENT) for rows or bytes that do not fit.
// - the token's status.
absl::StatusOr<Fragment> EncodeFragment(const EncodeSpec& spec, const RasterLayout& layout,
                                        uint32_t first_row, uint32_t rows,
                                        std::span<const uint8_t> segment,
                                        const base::CancelToken& token = {});

// Writes the file: header, fragments in order, end. Not thread-safe.
class Stitcher {
 public:
  virtual ~Stitcher() = default;
  virtual absl::Status Append(const Fragment& fragment) = 0;
  virtual absl::Status Finish() = 0;
};

// Writes the header to `sink`, which outlives the stitcher.
absl::StatusOr<std::unique_ptr<Stitcher>> CreateStitcher(const EncodeSpec& spec,
                                                         const Metadata& metadata,
                                                         base::ByteSink& sink);

}  // namespace histeq::codec
