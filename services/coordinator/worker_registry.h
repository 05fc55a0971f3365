#pragma once

// Which workers are attached, by the rules of the Coordinator service.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/watchdog.h"

namespace histeq::coordinator {

// What a worker says about itself.
struct WorkerReport {
  std::string name;
  // host:port or unix:path.
  std::string address;
  uint32_t slots = 0;
  uint32_t free_slots = 0;
  uint64_t memory_bytes = 0;
  uint64_t free_memory_bytes = 0;
  std::string simd_target;
  std::string version;
  bool draining = false;
  // Names of its storage roots.
  std::vector<std::string> storages;
};

// Where the registry tells what it knows: the pool that segments are given from. Called with the
// registry's lock held: must not call back. Thread-safe.
class WorkerListener {
 public:
  virtual ~WorkerListener() = default;
  // A worker that may be given work, or a change of it.
  virtual void WorkerSeen(const WorkerReport& worker) = 0;
  // Nothing more may be given to it, and what it has goes to others.
  virtual void WorkerGone(const std::string& name) = 0;
};

// Thread-safe. Must outlive its sessions.
class WorkerRegistry {
 public:
  struct Options {
    // A worker that is silent for longer is gone.
    absl::Duration gone_after = absl::Seconds(20);
    // Attached at the same time; each parks a thread of the server.
    uint32_t max_workers = 256;
  };
  // Calls the worker back. OK when it answers at `address` and says that it is `name`. May block
  // for some seconds.
  using Probe = std::function<absl::Status(const std::string& name, const std::string& address)>;

  // One attached worker, for as long as its stream lasts. Its destruction detaches it.
  class Session {
   public:
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    // The next report of the same worker, which also proves that it lives.
    // INVALID_ARGUMENT when it is not a valid one or has another name; ABORTED when a newer stream
    // of the same worker has taken over, or the worker was counted as gone.
    absl::Status Update(const WorkerReport& report);

   private:
    friend class WorkerRegistry;
    Session(WorkerRegistry& registry, uint64_t id, std::string name)
        : registry_(registry), id_(id), name_(std::move(name)) {}
    WorkerRegistry& registry_;
    const uint64_t id_;
    const std::string name_;
    std::unique_ptr<base::Watchdog::Alarm> alarm_;
  };

  WorkerRegistry(const base::Clock& clock, base::Watchdog& watchdog, WorkerListener& listener,
                 Probe probe, Options options);

  // Attaches a worker after a check of its report and a call back to its address. `end` is called
  // (once, must not block) when the stream must be ended from this side: silence, or a newer stream
  // of the same worker.
  // - INVALID_ARGUMENT (BAD_WORKER): no name, no slots, an address that cannot be one, or where
  // another worker answers.
  // - ALREADY_EXISTS (WORKER_NAME_TAKEN): a live worker at another address has that name.
  // - UNAVAILABLE (COORDINATOR_DRAINING, WORKER_UNREACHABLE): not now.
  // - RESOURCE_EXHAUSTED (TOO_MANY_WORKERS).
  absl::StatusOr<std::unique_ptr<Session>> Attach(const WorkerReport& report,
                                                  std::function<void()> end);

  // From now on no worker is attached; those that are stay until their streams end.
  void StartDrain();
  bool draining() const;

  // Ends every stream.
  void DetachAll();

  struct Attached {
    WorkerReport report;
    absl::Time last_heartbeat;
  };
  // In order of names.
  std::vector<Attached> Workers() const;

 private:
  struct Entry {
    uint64_t id = 0;
    WorkerReport report;
    std::function<void()> end;
    absl::Time last_heartbeat;
    // Answered at its address; the listener knows it.
    bool confirmed = false;
  };

  void Detach(uint64_t id, const std::string& name);
  void Expire(uint64_t id, const std::string& name);

  const base::Clock& clock_;
  base::Watchdog& watchdog_;
  WorkerListener& listener_;
  const Probe probe_;
  const Options options_;
  mutable std::mutex mutex_;
  std::map<std::string, Entry> workers_;
  uint64_t next_id_ = 1;
  bool draining_ = false;
};

// Whether `report` can be a worker: a name of 1 to 255 printable bytes, 1 to 65536 slots, an
// address of the form host:port or unix:path, at most 64 names of storages. INVALID_ARGUMENT
// (BAD_WORKER) with the field otherwise.
absl::Status CheckWorkerReport(const WorkerReport& report);

}  // namespace histeq::coordinator
