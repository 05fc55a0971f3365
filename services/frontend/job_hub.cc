#include "job_hub.h"

#include <utility>

namespace histeq::frontend {

JobHub::Watch::~Watch() {
  std::lock_guard lock(hub_.mutex_);
  const auto found = hub_.watches_.find(job_id_);
  found->second.erase(this);
  if (found->second.empty()) hub_.watches_.erase(found);
}

bool JobHub::Watch::Wait(absl::Duration timeout) {
  std::unique_lock lock(hub_.mutex_);
  changed_.wait_for(lock, absl::ToChronoNanoseconds(timeout), [this] { return hinted_; });
  return std::exchange(hinted_, false);
}

std::unique_ptr<JobHub::Watch> JobHub::MakeWatch(const std::string& job_id) {
  std::unique_ptr<Watch> watch(new Watch(*this, job_id));
  std::lock_guard lock(mutex_);
  watches_[job_id].insert(watch.get());
  return watch;
}

void JobHub::Notify(const std::string& job_id) {
  std::lock_guard lock(mutex_);
  const auto found = watches_.find(job_id);
  if (found == watches_.end()) return;
  for (Watch* watch : found->second) {
    watch->hinted_ = true;
    watch->changed_.notify_all();
  }
}

}  // namespace histeq::frontend
