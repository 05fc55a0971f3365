#include "rpc/worker_pool.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "fmt/format.h"
#include "rpc/channel.h"
#include "worker_pool_state.h"

namespace histeq::rpc {
namespace {

// Names remembered for each worker; a wrong guess costs one message.
constexpr size_t kMappingsRemembered = 256;
constexpr uint32_t kLongestPunishment = 8;

}  // namespace

PooledWorker::PooledWorker(PoolWorker given)
    : stub(v1::Worker::NewStub(MakeChannel(given.address))), info(std::move(given)) {}

bool PooledWorker::Knows(const std::string& mapping_id) const {
  return std::find(mappings_.begin(), mappings_.end(), mapping_id) != mappings_.end();
}

void PooledWorker::Learn(const std::string& mapping_id) {
  Forget(mapping_id);
  mappings_.push_front(mapping_id);
  if (mappings_.size() > kMappingsRemembered) mappings_.pop_back();
}

void PooledWorker::Forget(const std::string& mapping_id) { mappings_.remove(mapping_id); }

bool PooledWorker::Has(const std::string& storage) const {
  return std::find(info.storages.begin(), info.storages.end(), storage) != info.storages.end();
}

WorkerPool::State::State() : clock(base::SystemClock()), watchdog(clock) {}

void WorkerPool::State::NotifyAll() {
  for (Claimant* claimant : claimants) claimant->changed.notify_all();
}

void WorkerPool::State::NotifyFree(const Claimant& claimant) {
  const bool free = std::any_of(workers.begin(), workers.end(), [](const auto& entry) {
    return entry.second->used < entry.second->info.slots;
  });
  if (!free) return;
  for (Claimant* other : claimants) {
    if (other != &claimant && other->wants) other->changed.notify_all();
  }
}

void WorkerPool::State::Enter(Claimant& claimant) { claimants.push_back(&claimant); }

void WorkerPool::State::Leave(Claimant& claimant) {
  claimants.remove(&claimant);
  if (claimant.wants) NotifyAll();
}

void WorkerPool::State::SetWants(Claimant& claimant, bool wants) {
  const bool gave_up = claimant.wants && !wants;
  claimant.wants = wants;
  if (gave_up) NotifyFree(claimant);
}

bool WorkerPool::State::Usable(const PooledWorker& worker, uint64_t bytes) const {
  return !worker.info.draining && worker.info.slots > 0 && worker.held_until <= Now() &&
         (worker.info.memory_bytes == 0 || bytes <= worker.info.memory_bytes);
}

bool WorkerPool::State::AnyUsable(uint64_t bytes) const {
  return std::any_of(workers.begin(), workers.end(),
                     [&](const auto& entry) { return Usable(*entry.second, bytes); });
}

bool WorkerPool::State::AnyHas(const std::string& storage, uint64_t bytes) const {
  return std::any_of(workers.begin(), workers.end(), [&](const auto& entry) {
    const PoolWorker& info = entry.second->info;
    return entry.second->Has(storage) && (info.memory_bytes == 0 || bytes <= info.memory_bytes);
  });
}

absl::Duration WorkerPool::State::NextRelease(absl::Duration now) const {
  absl::Duration next = absl::InfiniteDuration();
  for (const auto& [name, worker] : workers) {
    if (worker->held_until > now) next = std::min(next, worker->held_until);
  }
  return next;
}

std::shared_ptr<PooledWorker> WorkerPool::State::TryAcquire(Claimant& claimant,
                                                            const PooledWorker* not_on, bool spare,
                                                            const std::string& storage) {
  // What the others before it need at least, which says which workers they can use.
  uint64_t least_need = std::numeric_limits<uint64_t>::max();
  bool others = false;
  for (const Claimant* other : claimants) {
    if (other != &claimant && other->wants && (spare || other->held < claimant.held)) {
      others = true;
      least_need = std::min(least_need, other->need_bytes);
    }
  }
  std::shared_ptr<PooledWorker> best;
  double best_load = 0;
  for (const auto& [name, worker] : workers) {
    if (worker.get() == not_on || worker->used >= worker->info.slots ||
        !Usable(*worker, claimant.need_bytes) || (others && Usable(*worker, least_need))) {
      continue;
    }
    if (!storage.empty() && !worker->Has(storage)) continue;
    const double load = static_cast<double>(worker->used) / worker->info.slots;
    if (best == nullptr || load < best_load) {
      best = worker;
      best_load = load;
    }
  }
  if (best == nullptr) return nullptr;
  ++best->used;
  ++claimant.held;
  // Now it may be their turn for what is left.
  NotifyFree(claimant);
  return best;
}

void WorkerPool::State::Release(Claimant& claimant, PooledWorker& worker) {
  --worker.used;
  --claimant.held;
  // Of those who take any place the first is enough: it takes this one, or leaves, and either wakes
  // the others when a place is left. All of them would wake for every small job.
  bool woken = false;
  for (Claimant* other : claimants) {
    if (other->takes_any) {
      if (woken || !other->wants || !Usable(worker, other->need_bytes)) continue;
      woken = true;
    }
    other->changed.notify_all();
  }
}

void WorkerPool::State::Punish(PooledWorker& worker, absl::Duration time) {
  // What was sent before the first failure was known tells nothing new.
  if (worker.held_until > Now() && !worker.refused) return;
  worker.held_until =
      Now() + time * std::min(uint32_t{1} << std::min(worker.faults, 8u), kLongestPunishment);
  worker.refused = false;
  ++worker.faults;
  NotifyAll();
}

void WorkerPool::State::HoldBack(PooledWorker& worker, absl::Duration time) {
  if (worker.held_until > Now()) return;
  worker.held_until = Now() + time;
  worker.refused = true;
  NotifyAll();
}

WorkerPool::WorkerPool() : state_(std::make_shared<State>()) {}

WorkerPool::~WorkerPool() = default;

void WorkerPool::Update(const PoolWorker& worker) {
  // Opened, and the old one closed, without the lock.
  std::shared_ptr<PooledWorker> fresh, old;
  {
    std::lock_guard lock(state_->mutex);
    const auto found = state_->workers.find(worker.name);
    if (found != state_->workers.end() && found->second->info.address == worker.address) {
      PooledWorker& known = *found->second;
      // What is free there is news only after a refusal: places are counted here.
      bool news = known.info.slots != worker.slots || known.info.draining != worker.draining ||
                  known.info.memory_bytes != worker.memory_bytes ||
                  known.info.storages != worker.storages;
      known.info = worker;
      if (known.refused && worker.free_slots > 0) {
        known.refused = false;
        known.held_until = -absl::InfiniteDuration();
        news = true;
      }
      if (news) state_->NotifyAll();
      return;
    }
  }
  fresh = std::make_shared<PooledWorker>(worker);
  {
    std::lock_guard lock(state_->mutex);
    old = std::exchange(state_->workers[worker.name], std::move(fresh));
    state_->NotifyAll();
  }
  if (old != nullptr) {
    old->gone.Cancel(
        absl::UnavailableError(fmt::format("worker {} has another address now", worker.name)));
  }
}

void WorkerPool::Remove(const std::string& name) {
  std::shared_ptr<PooledWorker> old;
  {
    std::lock_guard lock(state_->mutex);
    const auto found = state_->workers.find(name);
    if (found == state_->workers.end()) return;
    old = std::move(found->second);
    state_->workers.erase(found);
    state_->NotifyAll();
  }
  old->gone.Cancel(absl::UnavailableError(fmt::format("worker {} is gone", name)));
}

uint64_t WorkerPool::SegmentsDone(const std::string& name) const {
  std::lock_guard lock(state_->mutex);
  const auto found = state_->workers.find(name);
  return found == state_->workers.end() ? 0 : found->second->segments_done;
}

size_t WorkerPool::size() const {
  std::lock_guard lock(state_->mutex);
  return static_cast<size_t>(
      std::count_if(state_->workers.begin(), state_->workers.end(),
                    [this](const auto& entry) { return state_->Usable(*entry.second, 0); }));
}

bool WorkerPool::HasStorage(const std::string& storage) const {
  std::lock_guard lock(state_->mutex);
  return state_->AnyHas(storage);
}

}  // namespace histeq::rpc
