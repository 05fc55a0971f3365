#include "local/finisher.h"

#include <system_error>
#include <utility>

namespace histeq::client {

Finisher::~Finisher() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Finisher::Submit(std::function<void()> task) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return tasks_.size() < most_waiting_; });
  tasks_.push_back(std::move(task));
  if (idle_ < tasks_.size() && threads_.size() < most_threads_) {
    try {
      threads_.emplace_back([this] { Run(); });
    } catch (const std::system_error&) {
      if (threads_.empty()) {
        // Nobody but the caller can do it.
        task = std::move(tasks_.back());
        tasks_.pop_back();
        lock.unlock();
        task();
        return;
      }
    }
  }
  changed_.notify_all();
}

void Finisher::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    changed_.wait(lock, [this] { return ending_ || !tasks_.empty(); });
    --idle_;
    if (tasks_.empty()) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    changed_.notify_all();
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
  }
}

}  // namespace histeq::client
