#pragma once

// The coordinator's side of the Worker service, one call at a time.

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "codec/fragment.h"
#include "engine/executor.h"
#include "histeq/mapping.h"
#include "histeq/v1/worker.grpc.pb.h"
#include "rpc/guarded_call.h"

namespace histeq::rpc {

// SHA-256 of a mapping's bytes, 32 bytes.
std::string MappingId(const Mapping& mapping);

// What one TransformSegment call sends.
struct TransformRequest {
  v1::TransformSegmentRequest::Header header;
  // Sent when not null.
  const Mapping* mapping = nullptr;
  size_t chunk_bytes = 0;
  // Fills all of `out` with samples from `offset` on.
  std::function<absl::Status(uint64_t offset, std::span<uint8_t> out)> read;
  // Longest fragment that is believed, and what its raw_bytes must be (0 for JPEG).
  uint64_t max_fragment_bytes = 0;
  uint64_t raw_bytes = 0;
};

// The worker's answer, or why there is none; an answer that cannot be right is DATA_LOSS
// BAD_ANSWER. When `read` fails the call is cancelled and `read_error` set. `message` is reused
// from call to call, so that its buffer is allocated once.
absl::StatusOr<codec::Fragment> CallTransformSegment(v1::Worker::StubInterface& stub,
                                                     GuardedCall& call,
                                                     const TransformRequest& request,
                                                     v1::TransformSegmentRequest& message,
                                                     absl::Status& read_error);

// What one ProcessImage call sends.
struct ProcessRequest {
  v1::ProcessImageRequest::Header header;
  std::span<const uint8_t> file;
  size_t chunk_bytes = 0;
  // Most bytes that are believed, all results together, and how many results there must be.
  uint64_t max_result_bytes = 0;
  uint32_t results = 1;
};

// As above; `pixels` of the result is not set.
absl::StatusOr<engine::ProcessedImage> CallProcessImage(v1::Worker::StubInterface& stub,
                                                        GuardedCall& call,
                                                        const ProcessRequest& request);

}  // namespace histeq::rpc
