#include "base/cancel.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

namespace histeq::base {
namespace internal {

struct CancelState {
  std::atomic<bool> cancelled{false};
  std::mutex mutex;
  std::condition_variable changed;
  absl::Status why;
  uint64_t next_id = 1;
  std::map<uint64_t, std::function<void()>> callbacks;
  // The callback that runs now (0: none) and its thread: a handle's destructor waits for it, unless
  // it runs inside it.
  uint64_t running = 0;
  std::thread::id runner;
};

}  // namespace internal

absl::Status CancelToken::Check() const {
  if (state_ == nullptr || !state_->cancelled.load(std::memory_order_acquire))
    return absl::OkStatus();
  std::lock_guard lock(state_->mutex);
  return state_->why;
}

absl::Status CancelToken::WaitFor(absl::Duration timeout) const {
  if (state_ == nullptr) {
    internal::CancelState never;
    std::unique_lock lock(never.mutex);
    never.changed.wait_for(lock, absl::ToChronoNanoseconds(timeout), [] { return false; });
    return absl::OkStatus();
  }
  std::unique_lock lock(state_->mutex);
  state_->changed.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                           [this] { return state_->cancelled.load(std::memory_order_relaxed); });
  return state_->why;
}

std::shared_ptr<void> CancelToken::OnCancel(std::function<void()> callback) const {
  if (state_ == nullptr) return nullptr;
  std::unique_lock lock(state_->mutex);
  if (state_->cancelled.load(std::memory_order_relaxed)) {
    lock.unlock();
    callback();
    return nullptr;
  }
  const uint64_t id = state_->next_id++;
  state_->callbacks.emplace(id, std::move(callback));
  auto state = state_;
  return std::shared_ptr<void>(nullptr, [state, id](void*) {
    std::unique_lock remove_lock(state->mutex);
    if (state->running == id && state->runner != std::this_thread::get_id()) {
      state->changed.wait(remove_lock, [&] { return state->running != id; });
    }
    state->callbacks.erase(id);
  });
}

CancelSource::CancelSource() : state_(std::make_shared<internal::CancelState>()) {}

CancelSource::CancelSource(const CancelToken& parent) : CancelSource() {
  CancelSource self = *this;
  parent_link_ = parent.OnCancel([self, parent] { self.Cancel(parent.Check()); });
}

void CancelSource::Cancel(absl::Status why) const {
  std::unique_lock lock(state_->mutex);
  if (state_->cancelled.load(std::memory_order_relaxed)) return;
  state_->why = std::move(why);
  state_->cancelled.store(true, std::memory_order_release);
  state_->changed.notify_all();
  state_->runner = std::this_thread::get_id();
  // Nothing is added any more (OnCancel sees `cancelled`); entries may go while the lock is
  // released.
  for (auto it = state_->callbacks.begin(); it != state_->callbacks.end();
       it = state_->callbacks.upper_bound(state_->running)) {
    state_->running = it->first;
    const auto callback = it->second;
    lock.unlock();
    callback();
    lock.lock();
    state_->changed.notify_all();
  }
  state_->running = 0;
  state_->changed.notify_all();
}

}  // namespace histeq::base
