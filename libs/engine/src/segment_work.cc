#include "engine/segment_work.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/status_macros.h"
#include "engine/operation.h"
#include "histeq/equalize.h"

namespace histeq::engine {
namespace {

// Rows that are mapped between two looks at the token.
constexpr uint64_t kBatchBytes = 256 << 10;

// An encoder sees whole blocks: what is beyond the picture repeats its edge, as it would in a file
// made of the mapped picture.
void RepeatEdge(const codec::PlaneLayout& plane, uint64_t rows, uint64_t stored_rows,
                uint8_t* data) {
  const uint64_t stride = codec::PlaneStride(plane);
  const uint64_t pixel = uint64_t{plane.channels} * plane.bytes_per_sample;
  const uint64_t visible = plane.visible_width * pixel;
  if (visible < stride) {
    for (uint64_t r = 0; r < rows; ++r) {
      uint8_t* row = data + r * stride;
      for (uint64_t x = visible; x < stride; ++x) row[x] = row[x - pixel];
    }
  }
  for (uint64_t r = rows; r < stored_rows; ++r)
    std::memcpy(data + r * stride, data + (rows - 1) * stride, stride);
}

}  // namespace

absl::StatusOr<codec::Fragment> TransformSegment(const TransformSpec& spec, const Segment& segment,
                                                 std::span<uint8_t> samples,
                                                 const base::CancelToken& token) {
  const uint64_t end = uint64_t{segment.first_row} + segment.rows;
  const uint64_t bytes = codec::SegmentBytes(spec.layout, segment.rows);
  // Before the samples are touched; the encoder would look too late.
  if (segment.rows == 0 || end > spec.encode.height || samples.size() != bytes)
    return base::MakeError(
        absl::StatusCode::kInvalidArgument,
        fmt::format("the segment does not fit the image: rows {} to {} of {}, {} bytes where {} "
                    "belong",
                    segment.first_row, end, spec.encode.height, samples.size(), bytes),
        {.reason = "INVALID_SEGMENT"});
  const codec::PlaneLayout& plane = spec.layout.planes[0];
  const uint64_t stride = codec::PlaneStride(plane);
  const ImageShape shape = ShapeOf(spec.layout, spec.encode.height);
  const auto batch_rows =
      static_cast<uint32_t>(std::clamp<uint64_t>(kBatchBytes / stride, 1, segment.rows));
  for (uint32_t row = 0; row < segment.rows; row += batch_rows) {
    HISTEQ_RETURN_IF_ERROR(token.Check());
    uint8_t* const data = samples.data() + row * stride;
    const uint32_t rows = std::min(batch_rows, segment.rows - row);
    ApplyRows(spec.parameters, shape, *spec.mapping,
              ConstRows{data, static_cast<ptrdiff_t>(stride), rows},
              Rows{data, static_cast<ptrdiff_t>(stride), rows}, segment.first_row + row);
  }
  RepeatEdge(plane, segment.rows, codec::PlaneRows(spec.layout, 0, segment.rows), samples.data());
  return codec::EncodeFragment(spec.encode, spec.layout, segment.first_row, segment.rows, samples,
                               token);
}

}  // namespace histeq::engine
