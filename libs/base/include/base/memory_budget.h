#pragma once

// A limit on bytes shared by several users, for example all jobs of one coordinator.

#include <atomic>
#include <cstdint>
#include <utility>

namespace histeq::base {

// Thread-safe. Must outlive its reservations.
class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t limit_bytes) : limit_bytes_(limit_bytes) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  // Takes `bytes` (>= 0) if they fit; false and no change otherwise. Never blocks.
  bool TryTake(int64_t bytes) {
    int64_t used = used_bytes_.load(std::memory_order_relaxed);
    while (bytes <= limit_bytes_ - used) {
      if (used_bytes_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed))
        return true;
    }
    return false;
  }
  void Give(int64_t bytes) { used_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }

  int64_t limit_bytes() const { return limit_bytes_; }
  int64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }

 private:
  const int64_t limit_bytes_;
  std::atomic<int64_t> used_bytes_{0};
};

}  // namespace histeq::base
