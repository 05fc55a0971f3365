#pragma once

// Segments and their specs between the contract and the engine. What comes from outside is checked.

#include "absl/status/statusor.h"
#include "engine/plan.h"
#include "engine/segment_work.h"
#include "histeq/v1/worker.pb.h"

namespace histeq::rpc {

// All of a TransformSegment header but context and mapping_id.
void ToProto(const engine::TransformSpec& spec, const engine::Segment& segment,
             v1::TransformSegmentRequest::Header& header);

// What the header says, without the mapping; checked so that the samples can be received, mapped
// and encoded. INVALID_ARGUMENT INVALID_LAYOUT, INVALID_ENCODE_SPEC, INVALID_SEGMENT,
// BAD_PARAMETER.
struct ReceivedSegment {
  engine::TransformSpec spec;
  engine::Segment segment;
  uint64_t sample_bytes = 0;
};
absl::StatusOr<ReceivedSegment> FromProto(const v1::TransformSegmentRequest::Header& header);

}  // namespace histeq::rpc
