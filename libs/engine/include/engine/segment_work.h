#pragma once

// What is done to one segment, wherever it is done.

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "base/cancel.h"
#include "codec/encode_spec.h"
#include "codec/fragment.h"
#include "codec/raster_layout.h"
#include "engine/plan.h"
#include "histeq/mapping.h"
#include "histeq/parameters.h"

namespace histeq::engine {

// What all segments of a job have in common. Immutable while segments are worked on.
struct TransformSpec {
  codec::RasterLayout layout;
  codec::EncodeSpec encode;
  EqualizeParameters parameters;
  // Made for `parameters` and ShapeOf(layout, encode.height).
  std::shared_ptr<const Mapping> mapping;
};

// Maps plane 0 in place and encodes. `samples` is codec::SegmentBytes(layout, segment.rows) long
// and aligned to 2 bytes; what is in it afterwards is not specified. `token` is asked before each
// run of rows: 256 KiB of samples and at least one row, or a row of MCUs. Thread-safe. The fragment
// depends on the other arguments alone. Errors of codec::EncodeFragment; the token's status.
absl::StatusOr<codec::Fragment> TransformSegment(const TransformSpec& spec, const Segment& segment,
                                                 std::span<uint8_t> samples,
                                                 const base::CancelToken& token = {});

}  // namespace histeq::engine
