#pragma once

// When each lease runs out, and what its holder last said. Kept in memory alone: a renewal costs no
// fsync, and after a restart every lease begins a whole term, since nobody could renew meanwhile.

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/clock.h"
#include "store/catalog.h"

namespace histeq::store {

// Thread-safe.
class LeaseBook {
 public:
  LeaseBook(const base::Clock& clock, absl::Duration ttl) : clock_(clock), ttl_(ttl) {}

  void Add(const JobRecord& job);
  // A lease of before a restart: somebody must be taken to have it, and its term has not begun.
  void AddLoaded(const JobRecord& job);
  // Begins the terms of all loaded leases. Later calls do nothing.
  void StartTerms();
  // Its holder has called about it: the answer that gave it was not lost.
  void MarkUsed(const std::string& job_id, uint64_t epoch);
  // `coordinator` has named its leases. What it does not know of a quarter of a term after it was
  // given, it never heard of: such a lease is past its term.
  void EndUnheard(const std::string& coordinator);
  // Returns who held it; empty when it was not there.
  std::string Remove(const std::string& job_id, uint64_t epoch);
  void RequestCancel(const std::string& job_id, uint64_t epoch);

  struct Renewal {
    LeaseVerdict verdict = LeaseVerdict::kLost;
    bool progress_moved = false;
  };
  Renewal Renew(const std::string& coordinator, const HeldLease& held);

  // Leases past their term, which from now on cannot be renewed, until KeepAfterAll.
  struct Expired {
    std::string job_id;
    uint64_t epoch = 0;
    // Otherwise nobody ever had it.
    bool used = false;
  };
  std::vector<Expired> TakeExpired();
  void KeepAfterAll(const std::vector<Expired>& leases);
  bool AnyExpired() const;

  // Sets the progress of a running job.
  void FillProgress(JobRecord& job) const;

 private:
  struct Entry {
    std::string coordinator;
    uint64_t epoch = 0;
    absl::Duration given;
    absl::Duration deadline;
    bool used = false;
    bool cancel = false;
    bool expiring = false;
    JobProgress progress;
  };
  // Null when the job's current lease is another one.
  Entry* Find(const std::string& job_id, uint64_t epoch);

  const base::Clock& clock_;
  const absl::Duration ttl_;
  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;
  bool started_ = false;
};

}  // namespace histeq::store
