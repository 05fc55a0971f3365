#include "lease_book.h"

#include <algorithm>
#include <utility>

namespace histeq::store {

void LeaseBook::Add(const JobRecord& job) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[job.id];
  entry = Entry();
  entry.coordinator = job.coordinator;
  entry.epoch = job.epoch;
  entry.cancel = job.cancel_requested;
  entry.given = clock_.Monotonic();
  entry.deadline = entry.given + ttl_;
}

void LeaseBook::AddLoaded(const JobRecord& job) {
  Add(job);
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[job.id];
  entry.used = true;
  entry.deadline = absl::InfiniteDuration();
}

void LeaseBook::StartTerms() {
  const std::lock_guard lock(mutex_);
  if (std::exchange(started_, true)) return;
  for (auto& [job_id, entry] : entries_) {
    entry.deadline = std::min(entry.deadline, clock_.Monotonic() + ttl_);
  }
}

void LeaseBook::MarkUsed(const std::string& job_id, uint64_t epoch) {
  const std::lock_guard lock(mutex_);
  if (Entry* entry = Find(job_id, epoch); entry != nullptr) entry->used = true;
}

void LeaseBook::EndUnheard(const std::string& coordinator) {
  const std::lock_guard lock(mutex_);
  const absl::Duration now = clock_.Monotonic();
  for (auto& [job_id, entry] : entries_) {
    if (entry.used || entry.coordinator != coordinator || now - entry.given < ttl_ / 4) continue;
    entry.deadline = std::min(entry.deadline, now);
  }
}

LeaseBook::Entry* LeaseBook::Find(const std::string& job_id, uint64_t epoch) {
  const auto it = entries_.find(job_id);
  return it != entries_.end() && it->second.epoch == epoch ? &it->second : nullptr;
}

std::string LeaseBook::Remove(const std::string& job_id, uint64_t epoch) {
  const std::lock_guard lock(mutex_);
  Entry* entry = Find(job_id, epoch);
  if (entry == nullptr) return {};
  std::string coordinator = std::move(entry->coordinator);
  entries_.erase(job_id);
  return coordinator;
}

void LeaseBook::RequestCancel(const std::string& job_id, uint64_t epoch) {
  const std::lock_guard lock(mutex_);
  if (Entry* entry = Find(job_id, epoch); entry != nullptr) entry->cancel = true;
}

LeaseBook::Renewal LeaseBook::Renew(const std::string& coordinator, const HeldLease& held) {
  const std::lock_guard lock(mutex_);
  Renewal renewal;
  Entry* entry = Find(held.job_id, held.epoch);
  if (entry == nullptr || entry->expiring || entry->coordinator != coordinator) return renewal;
  entry->used = true;
  entry->deadline = clock_.Monotonic() + ttl_;
  renewal.verdict = entry->cancel ? LeaseVerdict::kCancel : LeaseVerdict::kRenewed;
  renewal.progress_moved = entry->progress != held.progress;
  entry->progress = held.progress;
  return renewal;
}

std::vector<LeaseBook::Expired> LeaseBook::TakeExpired() {
  const std::lock_guard lock(mutex_);
  const absl::Duration now = clock_.Monotonic();
  std::vector<Expired> expired;
  for (auto& [job_id, entry] : entries_) {
    if (entry.expiring || entry.deadline > now) continue;
    entry.expiring = true;
    expired.push_back({job_id, entry.epoch, entry.used});
  }
  return expired;
}

void LeaseBook::KeepAfterAll(const std::vector<Expired>& leases) {
  const std::lock_guard lock(mutex_);
  for (const Expired& lease : leases) {
    if (Entry* entry = Find(lease.job_id, lease.epoch); entry != nullptr) entry->expiring = false;
  }
}

bool LeaseBook::AnyExpired() const {
  const std::lock_guard lock(mutex_);
  const absl::Duration now = clock_.Monotonic();
  return std::any_of(entries_.begin(), entries_.end(), [now](const auto& item) {
    return !item.second.expiring && item.second.deadline <= now;
  });
}

void LeaseBook::FillProgress(JobRecord& job) const {
  if (job.state != JobState::kRunning) return;
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(job.id);
  if (it != entries_.end() && it->second.epoch == job.epoch) job.progress = it->second.progress;
}

}  // namespace histeq::store
