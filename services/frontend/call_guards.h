#pragma once

// Ends calls that cannot end by themselves: those whose other side says nothing any more, and those
// about a lease that is gone.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace histeq::frontend {

// One thread that looks at all guarded calls a few times a second. Thread-safe. Must outlive its
// guards.
class CallGuards {
 public:
  // Ends the call with a status that is not OK. Must not block.
  using End = std::function<void(const absl::Status& why)>;

  // One guarded call. Destruction ends the guard, and waits for `end` when that runs. Expect and
  // Pause: one thread at a time.
  class Guard {
   public:
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

    // The other side must do something within `timeout` from now, of which `waited` has already
    // passed. Cheap.
    void Expect(absl::Duration timeout, absl::Duration waited = absl::ZeroDuration());
    // It has, and this side is busy: no deadline.
    void Pause();

   private:
    friend class CallGuards;
    struct State {
      End end;
      // For the message: "no chunk came".
      std::string silence;
      // Nanoseconds of Clock::Monotonic(); the largest value: none.
      std::atomic<int64_t> deadline_ns;
      std::atomic<int64_t> timeout_ns;
      // Of the lease; an empty id: none.
      std::string job_id;
      uint64_t epoch = 0;
      // Guarded by the lock of CallGuards.
      bool ended = false;
      bool look = false;
      absl::Duration looked_at;
    };
    Guard(CallGuards& guards, uint64_t id, std::shared_ptr<State> state)
        : guards_(guards), id_(id), state_(std::move(state)) {}
    CallGuards& guards_;
    const uint64_t id_;
    const std::shared_ptr<State> state_;
  };

  struct Options {
    // Between two looks.
    absl::Duration tick = absl::Milliseconds(200);
    // A lease is looked at when its job changed, and at least this often.
    absl::Duration lease_interval = absl::Seconds(3);
  };

  // `check_lease` is OK while the lease is the current one; called on this thread without a lock.
  using CheckLease = std::function<absl::Status(const std::string& job_id, uint64_t epoch)>;
  CallGuards(const base::Clock& clock, CheckLease check_lease, Options options);
  ~CallGuards();

  // A guard without a deadline yet. After Expect's timeout the call ends with DEADLINE_EXCEEDED:
  // `silence` begins its message ("no chunk came").
  [[nodiscard]] std::unique_ptr<Guard> Watch(End end, std::string silence);
  // The same, and the call ends with check_lease's status when that is FAILED_PRECONDITION or
  // NOT_FOUND.
  [[nodiscard]] std::unique_ptr<Guard> WatchLease(const std::string& job_id, uint64_t epoch,
                                                  End end, std::string silence);

  // The job may have changed: look at its leases soon. Returns at once.
  void JobChanged(const std::string& job_id);

 private:
  void Run();
  void Remove(uint64_t id, const std::shared_ptr<Guard::State>& state);

  const base::Clock& clock_;
  const CheckLease check_lease_;
  const Options options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, std::shared_ptr<Guard::State>> guards_;
  // Those of leases, by their job.
  std::unordered_multimap<std::string, std::shared_ptr<Guard::State>> leases_;
  uint64_t next_id_ = 1;
  // The guard that is looked at, or ended, without the lock; 0: none.
  uint64_t busy_ = 0;
  bool poked_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace histeq::frontend
