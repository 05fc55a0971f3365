#pragma once

// The end of an image's way: waiting for the disk.

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace histeq::client {

// Runs tasks that wait for a disk rather than compute. Many at once, because a disk makes many
// files durable in the time of one. Thread-safe. Owns its threads, which begin when they are
// wanted.
class Finisher {
 public:
  // At most `threads` tasks run, and `waiting` more wait.
  Finisher(size_t threads, size_t waiting) : most_threads_(threads), most_waiting_(waiting) {}
  // Runs what is left.
  ~Finisher();
  Finisher(const Finisher&) = delete;
  Finisher& operator=(const Finisher&) = delete;

  // Waits while too many wait.
  void Submit(std::function<void()> task);

 private:
  void Run();

  const size_t most_threads_;
  const size_t most_waiting_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  size_t idle_ = 0;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace histeq::client
