#include "lease_table.h"

#include <utility>

#include "fmt/format.h"

namespace histeq::coordinator {
namespace {

// Part of a lease's time after which its holder stops itself.
absl::Duration SelfStopAfter(absl::Duration ttl) { return ttl * 2 / 3; }

absl::Status ShuttingDown() { return absl::UnavailableError("the coordinator is shutting down"); }

}  // namespace

const char* StopReasonName(StopReason reason) {
  switch (reason) {
    case StopReason::kNone:
      return "none";
    case StopReason::kLost:
      return "lost";
    case StopReason::kCancelled:
      return "cancelled";
    case StopReason::kDrained:
      return "drained";
  }
  return "unknown";
}

HeldLease::~HeldLease() {
  // First the alarm: its callback uses the rest.
  alarm_.reset();
  table_.Remove(*this);
}

StopReason HeldLease::stop_reason() const {
  std::lock_guard lock(mutex_);
  return stop_reason_;
}

void HeldLease::SetProgress(const Progress& progress) {
  bool new_stage;
  {
    std::lock_guard lock(mutex_);
    if (progress_ == progress) return;
    new_stage = progress_.stage != progress.stage;
    progress_ = progress;
  }
  table_.Changed(new_stage);
}

Progress HeldLease::progress() const {
  std::lock_guard lock(mutex_);
  return progress_;
}

void HeldLease::MarkLost(const absl::Status& why) {
  Stop(StopReason::kLost,
       absl::AbortedError(fmt::format("the lease is lost: {}", std::string(why.message()))));
}

void HeldLease::Stop(StopReason reason, absl::Status why) {
  {
    std::lock_guard lock(mutex_);
    if (reason != StopReason::kLost && stop_reason_ != StopReason::kNone) return;
    if (reason == StopReason::kLost && stop_reason_ == StopReason::kLost) return;
    stop_reason_ = reason;
  }
  // Outside of the lock: the callbacks of a token may ask for the reason.
  if (reason == StopReason::kLost) life_.Cancel(why);
  work_.Cancel(std::move(why));
}

std::shared_ptr<HeldLease> LeaseTable::Add(LeaseKey key, std::string image_name,
                                           absl::Duration ttl) {
  std::shared_ptr<HeldLease> lease(
      new HeldLease(*this, std::move(key), std::move(image_name), clock_.Now()));
  std::weak_ptr<HeldLease> weak = lease;
  lease->alarm_ = watchdog_.ArmAfter(SelfStopAfter(ttl), [raw = lease.get()] {
    raw->Stop(StopReason::kLost,
              absl::AbortedError("the lease was not renewed for two thirds of its time"));
  });
  std::vector<std::shared_ptr<HeldLease>> superseded;
  bool draining;
  {
    std::lock_guard lock(mutex_);
    for (auto it = leases_.lower_bound({lease->key().job_id, 0});
         it != leases_.end() && it->first.job_id == lease->key().job_id; ++it) {
      if (auto old = it->second.lock()) superseded.push_back(std::move(old));
    }
    leases_[lease->key()] = weak;
    draining = draining_;
  }
  for (const auto& old : superseded) {
    old->Stop(StopReason::kLost,
              absl::AbortedError("the lease ran out and the job was leased again"));
  }
  if (draining) lease->Stop(StopReason::kDrained, ShuttingDown());
  Changed(/*urgent=*/true);
  return lease;
}

std::vector<LeaseTable::Snapshot> LeaseTable::Held() const {
  std::vector<std::shared_ptr<HeldLease>> leases;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, weak] : leases_) {
      if (auto lease = weak.lock()) leases.push_back(std::move(lease));
    }
  }
  std::vector<Snapshot> held;
  for (const auto& lease : leases) {
    if (lease->stop_reason() == StopReason::kLost) continue;
    held.push_back({lease->key(), lease->image_name(), lease->start_time(), lease->progress()});
  }
  return held;
}

size_t LeaseTable::size() const {
  std::lock_guard lock(mutex_);
  return leases_.size();
}

void LeaseTable::Answer(const LeaseKey& key, Verdict verdict, absl::Duration sent_at,
                        absl::Duration ttl) {
  std::shared_ptr<HeldLease> lease;
  {
    std::lock_guard lock(mutex_);
    auto found = leases_.find(key);
    if (found != leases_.end()) lease = found->second.lock();
  }
  if (lease == nullptr) return;
  switch (verdict) {
    case Verdict::kRenewed:
      lease->alarm_->SetDeadline(sent_at + SelfStopAfter(ttl));
      break;
    case Verdict::kLost:
      lease->Stop(StopReason::kLost,
                  absl::AbortedError("the lease is lost: the job is final or has another holder"));
      break;
    case Verdict::kCancel:
      lease->Stop(StopReason::kCancelled, absl::CancelledError("the client cancelled the job"));
      break;
    case Verdict::kUnspecified:
      break;
  }
}

void LeaseTable::DrainAll() {
  std::vector<std::shared_ptr<HeldLease>> leases;
  {
    std::lock_guard lock(mutex_);
    draining_ = true;
    for (const auto& [key, weak] : leases_) {
      if (auto lease = weak.lock()) leases.push_back(std::move(lease));
    }
  }
  for (const auto& lease : leases) {
    lease->Stop(StopReason::kDrained, ShuttingDown());
  }
}

LeaseTable::Revision LeaseTable::revision() const {
  std::lock_guard lock(mutex_);
  return revision_;
}

void LeaseTable::Remove(const HeldLease& lease) {
  {
    std::lock_guard lock(mutex_);
    leases_.erase(lease.key());
  }
  Changed(/*urgent=*/true);
}

void LeaseTable::Changed(bool urgent) {
  {
    std::lock_guard lock(mutex_);
    ++(urgent ? revision_.urgent : revision_.progress);
  }
  if (changed_) changed_();
}

}  // namespace histeq::coordinator
