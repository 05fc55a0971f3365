#pragma once

// The one seam between what to do and where it is done.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/cancel.h"
#include "codec/fragment.h"
#include "codec/image_info.h"
#include "codec/limits.h"
#include "engine/image_statistics.h"
#include "engine/operation.h"
#include "engine/plan.h"
#include "engine/segment_work.h"

namespace histeq::engine {

// The segments of one job on their way through an executor. Thread-safe.
class SegmentExchange {
 public:
  virtual ~SegmentExchange() = default;

  virtual uint32_t count() const = 0;
  virtual Segment at(uint32_t index) const = 0;

  // Copies samples of a segment, from byte `offset` of it on; all of `out` is filled. A segment can
  // be read again until it is delivered. RESOURCE_EXHAUSTED or INTERNAL when the spool's file
  // cannot be read.
  virtual absl::Status Read(uint32_t index, uint64_t offset, std::span<uint8_t> out) = 0;

  // The segment's samples where they lie in this process, for an executor that works on them in
  // place and does not Read() them afterwards; empty when they lie elsewhere. Valid until
  // delivered.
  virtual std::span<uint8_t> InPlace(uint32_t /*index*/) { return {}; }

  // Takes a finished segment; each once, in any order. May return while it still waits for one
  // before it, or to be written by another thread. Fails when the result cannot be written.
  virtual absl::Status Deliver(uint32_t index, codec::Fragment fragment) = 0;

  // Segments [0, delivered_prefix()) have all been delivered and written. An executor starts no
  // segment that is its window or more ahead of this, which bounds the fragments that wait.
  virtual uint32_t delivered_prefix() const = 0;

  // An executor that waits for delivered_prefix() gives `grown` before its first Deliver, and null
  // before Transform returns. It is called inside Deliver, without a lock, whenever the prefix has
  // grown; an exchange whose Deliver writes nothing but its own fragment need not call it.
  virtual void WatchPrefix(std::function<void()> /*grown*/) {}
};

// A small image, done whole.
struct ProcessedImage {
  std::vector<uint8_t> file;
  // Sizes of the results in `file`, one after the other: as JobResult::result_bytes.
  std::vector<uint64_t> result_bytes;
  uint64_t pixels = 0;
  // For Operation::Kind::kAnalyze, which makes no file.
  std::optional<ImageStatistics> statistics;
};

// Where segments are worked on. One call at a time, unless the implementation says otherwise.
class Executor {
 public:
  virtual ~Executor() = default;

  // Has every segment transformed and delivered. Returns the first error that trying elsewhere
  // does not mend, or the token's status; no call into `exchange` is running when it returns.
  virtual absl::Status Transform(const TransformSpec& spec, SegmentExchange& exchange,
                                 const base::CancelToken& token) = 0;

  // Does a small image whole: the same bytes as RunJob gives on any executor. Errors of RunJob.
  virtual absl::StatusOr<ProcessedImage> ProcessImage(std::span<const uint8_t> file,
                                                      const Operation& operation,
                                                      const codec::DecodeLimits& limits,
                                                      const base::CancelToken& token) = 0;

  // Other processes busy with the present call; 0 when this process works alone. Thread-safe.
  virtual uint32_t busy_workers() const { return 0; }
};

}  // namespace histeq::engine
