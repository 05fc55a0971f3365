#pragma once

// Deadlines that can be moved: something must happen before then, or a callback runs.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/time/time.h"
#include "base/clock.h"

namespace histeq::base {

// One thread that watches any number of deadlines on a monotonic clock. Thread-safe. Must outlive
// its alarms.
class Watchdog {
 public:
  // One deadline. Destruction removes it and waits for its callback when that runs on another
  // thread.
  class Alarm {
   public:
    ~Alarm();
    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;

    // Moves the deadline to `at` (Clock::Monotonic()). Does nothing after the callback has run.
    void SetDeadline(absl::Duration at);
    // Moves the deadline to `timeout` from now.
    void Extend(absl::Duration timeout);

   private:
    friend class Watchdog;
    Alarm(Watchdog& watchdog, uint64_t id) : watchdog_(watchdog), id_(id) {}
    Watchdog& watchdog_;
    const uint64_t id_;
  };

  explicit Watchdog(const Clock& clock);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // Runs `expired` once, on the watchdog's thread, when the clock reaches `at`. It must not block,
  // and must not destroy the watchdog.
  [[nodiscard]] std::unique_ptr<Alarm> Arm(absl::Duration at, std::function<void()> expired);
  // The same, `timeout` from now.
  [[nodiscard]] std::unique_ptr<Alarm> ArmAfter(absl::Duration timeout,
                                                std::function<void()> expired);

  // Looks at the clock again; for tests that move it.
  void Poke();

 private:
  struct Entry {
    absl::Duration at;
    std::function<void()> expired;
    bool fired = false;
  };

  void Run();
  void SetDeadline(uint64_t id, absl::Duration at);
  void Remove(uint64_t id);

  const Clock& clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, Entry> entries_;
  uint64_t next_id_ = 1;
  // The alarm whose callback runs now; 0: none.
  uint64_t running_ = 0;
  // When the thread looks again.
  absl::Duration wake_at_ = absl::ZeroDuration();
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace histeq::base
