#include "call_guards.h"

#include <limits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "fmt/format.h"

namespace histeq::frontend {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

}  // namespace

CallGuards::Guard::~Guard() { guards_.Remove(id_, state_); }

void CallGuards::Guard::Expect(absl::Duration timeout, absl::Duration waited) {
  state_->timeout_ns.store(absl::ToInt64Nanoseconds(timeout), std::memory_order_relaxed);
  state_->deadline_ns.store(absl::ToInt64Nanoseconds(guards_.clock_.Monotonic() + timeout - waited),
                            std::memory_order_relaxed);
}

void CallGuards::Guard::Pause() { state_->deadline_ns.store(kNever, std::memory_order_relaxed); }

CallGuards::CallGuards(const base::Clock& clock, CheckLease check_lease, Options options)
    : clock_(clock),
      check_lease_(std::move(check_lease)),
      options_(options),
      thread_([this] { Run(); }) {}

CallGuards::~CallGuards() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

std::unique_ptr<CallGuards::Guard> CallGuards::Watch(End end, std::string silence) {
  return WatchLease("", 0, std::move(end), std::move(silence));
}

std::unique_ptr<CallGuards::Guard> CallGuards::WatchLease(const std::string& job_id, uint64_t epoch,
                                                          End end, std::string silence) {
  auto state = std::make_shared<Guard::State>();
  state->end = std::move(end);
  state->silence = std::move(silence);
  state->deadline_ns = kNever;
  state->timeout_ns = 0;
  state->job_id = job_id;
  state->epoch = epoch;
  state->looked_at = clock_.Monotonic();
  std::lock_guard lock(mutex_);
  const uint64_t id = next_id_++;
  guards_.emplace(id, state);
  if (!job_id.empty()) leases_.emplace(job_id, state);
  return std::unique_ptr<Guard>(new Guard(*this, id, std::move(state)));
}

void CallGuards::JobChanged(const std::string& job_id) {
  std::lock_guard lock(mutex_);
  const auto [first, last] = leases_.equal_range(job_id);
  if (first == last) return;
  for (auto it = first; it != last; ++it) it->second->look = true;
  poked_ = true;
  changed_.notify_all();
}

void CallGuards::Remove(uint64_t id, const std::shared_ptr<Guard::State>& state) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return busy_ != id; });
  guards_.erase(id);
  if (state->job_id.empty()) return;
  const auto [first, last] = leases_.equal_range(state->job_id);
  for (auto it = first; it != last; ++it) {
    if (it->second != state) continue;
    leases_.erase(it);
    return;
  }
}

void CallGuards::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    changed_.wait_for(lock, absl::ToChronoNanoseconds(options_.tick),
                      [this] { return poked_ || stopping_; });
    poked_ = false;
    const absl::Duration now = clock_.Monotonic();
    std::vector<uint64_t> due;
    for (const auto& [id, state] : guards_) {
      if (state->ended) continue;
      const bool silent =
          state->deadline_ns.load(std::memory_order_relaxed) <= absl::ToInt64Nanoseconds(now);
      const bool look = !state->job_id.empty() &&
                        (state->look || now - state->looked_at >= options_.lease_interval);
      if (silent || look) due.push_back(id);
    }
    for (const uint64_t id : due) {
      const auto found = guards_.find(id);
      if (found == guards_.end() || stopping_) continue;
      const std::shared_ptr<Guard::State> state = found->second;
      state->look = false;
      state->looked_at = now;
      busy_ = id;
      lock.unlock();
      absl::Status why;
      if (state->deadline_ns.load(std::memory_order_relaxed) <= absl::ToInt64Nanoseconds(now)) {
        const absl::Duration timeout =
            absl::Nanoseconds(state->timeout_ns.load(std::memory_order_relaxed));
        why =
            base::MakeError(absl::StatusCode::kDeadlineExceeded,
                            fmt::format("{} for {}", state->silence, absl::FormatDuration(timeout)),
                            {.reason = "IDLE_TIMEOUT",
                             .metadata = {{"limit", absl::FormatDuration(timeout)}},
                             .retry_after = absl::Seconds(1)});
      } else if (!state->job_id.empty()) {
        // Trouble of the catalog itself says nothing about the lease.
        const absl::Status lease = check_lease_(state->job_id, state->epoch);
        if (absl::IsFailedPrecondition(lease) || absl::IsNotFound(lease)) why = lease;
      }
      if (!why.ok()) state->end(why);
      lock.lock();
      state->ended = !why.ok();
      busy_ = 0;
      changed_.notify_all();
    }
  }
}

}  // namespace histeq::frontend
