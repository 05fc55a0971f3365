#pragma once

// Turns the catalog's hints into wake-ups of those who wait for one job.

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "absl/time/time.h"

namespace histeq::frontend {

// Thread-safe. Must outlive its watches.
class JobHub {
 public:
  // One who waits. One thread at a time.
  class Watch {
   public:
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

    // Waits until the job may have changed since the Watch was made, or since the last true answer.
    // False after `timeout`.
    bool Wait(absl::Duration timeout);

   private:
    friend class JobHub;
    Watch(JobHub& hub, std::string job_id) : hub_(hub), job_id_(std::move(job_id)) {}
    JobHub& hub_;
    const std::string job_id_;
    std::condition_variable changed_;
    // Guarded by the hub's lock.
    bool hinted_ = false;
  };

  // Make it before the job is read, and no change is missed.
  std::unique_ptr<Watch> MakeWatch(const std::string& job_id);

  // The job may have changed. Returns at once.
  void Notify(const std::string& job_id);

 private:
  std::mutex mutex_;
  std::map<std::string, std::set<Watch*>> watches_;
};

}  // namespace histeq::frontend
