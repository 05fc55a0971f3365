#pragma once

// The leases that this coordinator holds, and what ends them.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/watchdog.h"

namespace histeq::coordinator {

// What a running job is busy with. Numbers are the contract's.
enum class Stage { kUnspecified = 0, kAnalyze = 1, kTransform = 2, kUpload = 3 };

// How far a job has come.
struct Progress {
  Stage stage = Stage::kUnspecified;
  uint32_t segments_done = 0;
  uint32_t segments_total = 0;
  // Workers busy with this job now.
  uint32_t workers = 0;
  bool operator==(const Progress&) const = default;
};

// The frontend's word about a lease. Numbers are the contract's.
enum class Verdict { kUnspecified = 0, kRenewed = 1, kLost = 2, kCancel = 3 };

// Why the work on a lease was stopped from outside.
enum class StopReason { kNone, kLost, kCancelled, kDrained };

// "lost", "cancelled", ... for logs.
const char* StopReasonName(StopReason reason);

struct LeaseKey {
  std::string job_id;
  uint64_t epoch = 0;
  auto operator<=>(const LeaseKey&) const = default;
};

class LeaseTable;

// One held lease. Thread-safe. Leaves the table on destruction.
class HeldLease {
 public:
  ~HeldLease();
  HeldLease(const HeldLease&) = delete;
  HeldLease& operator=(const HeldLease&) = delete;

  const LeaseKey& key() const { return key_; }
  const std::string& image_name() const { return image_name_; }
  absl::Time start_time() const { return start_time_; }

  // Cancelled as soon as the work is of no use: the lease is lost or ran out, the client cancelled
  // the job, the coordinator drained for too long.
  base::CancelToken work() const { return work_.token(); }
  // Cancelled when the lease is lost or ran out: nothing may be said about the job any more.
  base::CancelToken life() const { return life_.token(); }
  // Why work() was cancelled; kLost wins over the others.
  StopReason stop_reason() const;

  void SetProgress(const Progress& progress);
  Progress progress() const;

  // Ends it: a call about it was answered with "not yours any more".
  void MarkLost(const absl::Status& why);

 private:
  friend class LeaseTable;
  HeldLease(LeaseTable& table, LeaseKey key, std::string image_name, absl::Time start_time)
      : table_(table),
        key_(std::move(key)),
        image_name_(std::move(image_name)),
        start_time_(start_time) {}
  void Stop(StopReason reason, absl::Status why);

  LeaseTable& table_;
  const LeaseKey key_;
  const std::string image_name_;
  const absl::Time start_time_;
  base::CancelSource work_;
  base::CancelSource life_;
  mutable std::mutex mutex_;
  StopReason stop_reason_ = StopReason::kNone;
  Progress progress_;
  std::unique_ptr<base::Watchdog::Alarm> alarm_;
};

// All held leases. A lease stops itself when it was not renewed for two thirds of its time,
// measured from the moment when the renewing request was sent, on this machine's monotonic clock: a
// holder that was cut off, suspended or slow is silent before the frontend gives the job to
// another. Thread-safe. Must outlive its leases.
class LeaseTable {
 public:
  // `clock` and `watchdog` must outlive the table.
  LeaseTable(const base::Clock& clock, base::Watchdog& watchdog)
      : clock_(clock), watchdog_(watchdog) {}

  // Takes up a lease that is good for `ttl` from now. A lease of the same job under another epoch
  // that is still held is lost by that.
  std::shared_ptr<HeldLease> Add(LeaseKey key, std::string image_name, absl::Duration ttl);

  struct Snapshot {
    LeaseKey key;
    std::string image_name;
    absl::Time start_time;
    Progress progress;
  };
  // What a heartbeat reports: every lease whose life is not over.
  std::vector<Snapshot> Held() const;
  size_t size() const;

  // The frontend's answer to a heartbeat that was sent at `sent_at` (Clock::Monotonic()). Unknown
  // leases are ignored.
  void Answer(const LeaseKey& key, Verdict verdict, absl::Duration sent_at, absl::Duration ttl);

  // Stops the work of all leases, and of those that still come; their holders hand them back.
  void DrainAll();

  // Counts changes that a heartbeat should not wait for: leases taken, ended or in another stage
  // (`urgent`), and any progress (`progress`).
  struct Revision {
    uint64_t urgent = 0;
    uint64_t progress = 0;
    bool operator==(const Revision&) const = default;
  };
  Revision revision() const;
  // Called after every change, with the lock of the table not held. Set once, before the first
  // lease.
  void SetChangeCallback(std::function<void()> changed) { changed_ = std::move(changed); }

 private:
  friend class HeldLease;
  void Remove(const HeldLease& lease);
  void Changed(bool urgent);

  const base::Clock& clock_;
  base::Watchdog& watchdog_;
  std::function<void()> changed_;
  mutable std::mutex mutex_;
  // Weak: the job's thread owns the lease.
  std::map<LeaseKey, std::weak_ptr<HeldLease>> leases_;
  Revision revision_;
  bool draining_ = false;
};

}  // namespace histeq::coordinator
