#include "base/watchdog.h"

#include <algorithm>
#include <utility>

namespace histeq::base {

Watchdog::Alarm::~Alarm() { watchdog_.Remove(id_); }
void Watchdog::Alarm::SetDeadline(absl::Duration at) { watchdog_.SetDeadline(id_, at); }
void Watchdog::Alarm::Extend(absl::Duration timeout) {
  watchdog_.SetDeadline(id_, watchdog_.clock_.Monotonic() + timeout);
}

Watchdog::Watchdog(const Clock& clock) : clock_(clock), thread_([this] { Run(); }) {}

Watchdog::~Watchdog() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

std::unique_ptr<Watchdog::Alarm> Watchdog::Arm(absl::Duration at, std::function<void()> expired) {
  std::lock_guard lock(mutex_);
  const uint64_t id = next_id_++;
  entries_.emplace(id, Entry{at, std::move(expired)});
  // As in SetDeadline.
  if (at < wake_at_) changed_.notify_all();
  return std::unique_ptr<Alarm>(new Alarm(*this, id));
}

std::unique_ptr<Watchdog::Alarm> Watchdog::ArmAfter(absl::Duration timeout,
                                                    std::function<void()> expired) {
  return Arm(clock_.Monotonic() + timeout, std::move(expired));
}

void Watchdog::Poke() {
  std::lock_guard lock(mutex_);
  changed_.notify_all();
}

void Watchdog::SetDeadline(uint64_t id, absl::Duration at) {
  std::lock_guard lock(mutex_);
  auto found = entries_.find(id);
  if (found == entries_.end() || found->second.fired) return;
  found->second.at = at;
  // A deadline after the planned look needs no wake-up, however often it moves: the look finds it.
  if (at < wake_at_) changed_.notify_all();
}

void Watchdog::Remove(uint64_t id) {
  std::unique_lock lock(mutex_);
  if (thread_.get_id() != std::this_thread::get_id()) {
    changed_.wait(lock, [&] { return running_ != id; });
  }
  entries_.erase(id);
}

void Watchdog::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const absl::Duration now = clock_.Monotonic();
    absl::Duration next = now + absl::Hours(1);
    auto due = entries_.end();
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->second.fired) continue;
      if (it->second.at <= now) {
        due = it;
        break;
      }
      next = std::min(next, it->second.at);
    }
    if (due == entries_.end()) {
      wake_at_ = next;
      changed_.wait_for(lock, absl::ToChronoNanoseconds(next - now));
      continue;
    }
    due->second.fired = true;
    running_ = due->first;
    const std::function<void()> expired = std::move(due->second.expired);
    lock.unlock();
    expired();
    lock.lock();
    running_ = 0;
    changed_.notify_all();
  }
}

}  // namespace histeq::base
