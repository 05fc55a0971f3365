#pragma once

// The workers that a coordinator may give segments to.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace histeq::rpc {

// What the pool is told about a worker.
struct PoolWorker {
  std::string name;
  // host:port or unix:path.
  std::string address;
  uint32_t slots = 0;
  uint32_t free_slots = 0;
  uint64_t memory_bytes = 0;
  uint64_t free_memory_bytes = 0;
  bool draining = false;
  // Storage roots that it has.
  std::vector<std::string> storages = {};
};

// Shared by the executors of all jobs of a coordinator: places are taken fairly, job by job.
// Thread-safe. Must outlive its executors.
class WorkerPool {
 public:
  WorkerPool();
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // A worker that lives, or a change of it. Another address under a known name is a new worker.
  void Update(const PoolWorker& worker);
  // Its calls are cancelled, its segments go to others.
  void Remove(const std::string& name);

  // Segments that this worker finished since it came; 0 for an unknown one.
  uint64_t SegmentsDone(const std::string& name) const;
  // Workers that may be given work now.
  size_t size() const;
  // Whether any worker has this storage.
  bool HasStorage(const std::string& storage) const;

  // For the executors of this library.
  struct State;
  const std::shared_ptr<State>& state() { return state_; }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace histeq::rpc
