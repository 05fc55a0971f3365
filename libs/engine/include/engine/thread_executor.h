#pragma once

// Segments on threads of this process.

#include <cstdint>
#include <functional>
#include <memory>

#include "engine/executor.h"

namespace histeq::engine {

// Owns its threads. Thread-safe: any number of jobs may be in it at once, and share its threads
// fairly, segment by segment.
class ThreadExecutor final : public Executor {
 public:
  // `threads` is at least 1.
  explicit ThreadExecutor(uint32_t threads);
  ~ThreadExecutor() override;

  absl::Status Transform(const TransformSpec& spec, SegmentExchange& exchange,
                         const base::CancelToken& token) override;
  absl::StatusOr<ProcessedImage> ProcessImage(std::span<const uint8_t> file,
                                              const Operation& operation,
                                              const codec::DecodeLimits& limits,
                                              const base::CancelToken& token) override;

  uint32_t threads() const;

  // Runs `task` on one of the threads, after those that were submitted before. For executors that
  // put some of their segments here. `task` must not wait for another task.
  void Submit(std::function<void()> task);

 private:
  class Pool;
  std::unique_ptr<Pool> pool_;
};

// Segments on the calling thread alone.
class InlineExecutor final : public Executor {
 public:
  absl::Status Transform(const TransformSpec& spec, SegmentExchange& exchange,
                         const base::CancelToken& token) override;
  absl::StatusOr<ProcessedImage> ProcessImage(std::span<const uint8_t> file,
                                              const Operation& operation,
                                              const codec::DecodeLimits& limits,
                                              const base::CancelToken& token) override;
};

}  // namespace histeq::engine
