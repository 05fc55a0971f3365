#pragma once

// Whether the frontend drains, and which transfers should still end before it stops.

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace histeq::frontend {

// Thread-safe. Must outlive its transfers.
class Activity {
 public:
  // Bytes under way: an upload, a download, a result.
  class Transfer {
   public:
    explicit Transfer(Activity& activity);
    ~Transfer();
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;

   private:
    Activity& activity_;
  };

  void StartDrain();
  bool draining() const;
  // OK, or UNAVAILABLE SERVER_DRAINING (retry delay) once the drain has begun.
  absl::Status CheckServing() const;

  uint32_t transfers() const;
  // Waits until no transfer runs; false when that takes longer than `timeout`.
  bool WaitIdle(absl::Duration timeout);

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool draining_ = false;
  uint32_t transfers_ = 0;
};

}  // namespace histeq::frontend
