#include "lease_loop.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "fmt/format.h"
#include "rpc/event_log.h"
#include "rpc/retry.h"

namespace histeq::coordinator {

LeaseLoop::LeaseLoop(JobQueue& queue, LeaseTable& table, RunLease run, Options options)
    : queue_(queue), table_(table), run_(std::move(run)), options_(options) {
  active_ = options_.job_slots;
  for (uint32_t slot = 0; slot < options_.job_slots; ++slot) {
    threads_.emplace_back([this, slot] { RunSlot(slot); });
  }
}

LeaseLoop::~LeaseLoop() {
  StopLeasing();
  for (std::thread& thread : threads_) thread.join();
}

void LeaseLoop::SetConnected(bool connected) {
  std::lock_guard lock(mutex_);
  connected_ = connected;
  changed_.notify_all();
}

void LeaseLoop::StopLeasing() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  stop_.Cancel(absl::UnavailableError("the coordinator is shutting down"));
}

bool LeaseLoop::WaitIdle(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  // A year stands for "for ever": the clock's arithmetic overflows beyond some centuries.
  timeout = std::min(timeout, absl::Hours(24 * 365));
  return changed_.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                           [this] { return active_ == 0; });
}

uint32_t LeaseLoop::running() const {
  std::lock_guard lock(mutex_);
  return running_;
}

bool LeaseLoop::WaitConnected() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return connected_ || stopping_; });
  return !stopping_;
}

void LeaseLoop::RunSlot(uint32_t slot) {
  rpc::Backoff backoff;
  while (WaitConnected()) {
    absl::StatusOr<std::optional<LeaseGrant>> leased = queue_.Lease(options_.wait, stop_.token());
    if (!leased.ok()) {
      if (stop_.token().cancelled()) break;
      const std::string error(leased.status().message());
      bool news;
      {
        std::lock_guard lock(mutex_);
        news = logged_error_ != error;
        logged_error_ = error;
      }
      if (news) {
        rpc::LogEvent(
            rpc::LogLevel::kWarning, "lease_failed",
            {{"code", absl::StatusCodeToString(leased.status().code())}, {"error", error}});
      }
      if (!backoff.Wait(stop_.token()).ok()) break;
      continue;
    }
    backoff.Reset();
    {
      std::lock_guard lock(mutex_);
      logged_error_.clear();
    }
    if (!leased->has_value()) continue;
    const LeaseGrant& grant = **leased;
    {
      std::lock_guard lock(mutex_);
      ++running_;
    }
    // A lease that arrives while the coordinator drains is run like the others: until the drain's
    // end, which hands it back.
    run_(slot, grant, table_.Add(grant.key, grant.image_name, grant.ttl));
    std::lock_guard lock(mutex_);
    --running_;
  }
  std::lock_guard lock(mutex_);
  --active_;
  changed_.notify_all();
}

}  // namespace histeq::coordinator
