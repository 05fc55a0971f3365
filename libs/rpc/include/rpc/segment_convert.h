#pragma once

// Segments and their specs between the contract and the engine. What comes from outside is checked.

#include "absl/status/statusor.h"
#include "codec/limits.h"
#include "engine/plan.h"
#include "engine/segment_work.h"
#include "histeq/v1/worker.pb.h"

namespace histeq::rpc {

// All of a TransformSegment header but context and mapping_id. A reference histogram is left out:
// it is in the mapping, and workers need nothing else of it.
void ToProto(const engine::TransformSpec& spec, const engine::Segment& segment,
             v1::TransformSegmentRequest::Header& header);

// What the coordinator accepts, for the worker that does a whole image; 0 in a header stands for
// the worker's own default.
void FillLimits(const codec::DecodeLimits& limits, v1::ProcessImageRequest::Header& header);
codec::DecodeLimits LimitsOf(const v1::ProcessImageRequest::Header& header);

// First word of AnalyzeSegmentResponse.statistics; Statistics::words() follow.
inline constexpr uint64_t kStatisticsVersion = 1;

// What a segment's header says, checked so that the samples can be received and counted.
struct ReceivedRows {
  codec::RasterLayout layout;
  EqualizeParameters parameters;
  // Of the whole image.
  ImageShape shape;
  engine::Segment segment;
  uint64_t sample_bytes = 0;
};
// - INVALID_ARGUMENT: INVALID_LAYOUT, INVALID_SEGMENT (rows that are not whole units of the image,
//   or another number of bytes than they have), BAD_PARAMETER.
absl::StatusOr<ReceivedRows> FromProto(const v1::SegmentHeader& header);

// What the header says, without the mapping; checked so that the samples can be received, mapped
// and encoded.
struct ReceivedSegment {
  engine::TransformSpec spec;
  engine::Segment segment;
  uint64_t sample_bytes = 0;
};
// - INVALID_ARGUMENT: as above, and INVALID_ENCODE_SPEC; rows must begin where a fragment may.
absl::StatusOr<ReceivedSegment> FromProto(const v1::TransformSegmentRequest::Header& header);

}  // namespace histeq::rpc
