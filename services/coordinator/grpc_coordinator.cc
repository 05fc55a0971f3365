#include "grpc_coordinator.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/watchdog.h"
#include "engine/thread_executor.h"
#include "fmt/format.h"
#include "grpc_coordinator_service.h"
#include "grpc_heartbeat.h"
#include "grpc_job_queue.h"
#include "grpc_node_storage.h"
#include "grpc_worker_probe.h"
#include "histeq/target.h"
#include "lease_loop.h"
#include "lease_table.h"
#include "rpc/channel.h"
#include "rpc/event_log.h"
#include "rpc/proto_convert.h"
#include "rpc/remote_executor.h"
#include "rpc/worker_pool.h"
#include "worker_registry.h"

namespace histeq::coordinator {
namespace {

// Tells the pool of the executors what the registry knows.
class PoolFeeder final : public WorkerListener {
 public:
  explicit PoolFeeder(rpc::WorkerPool& pool) : pool_(pool) {}
  // `attached_or_gone`: more than a change of free slots.
  void SetChangeCallback(std::function<void(bool attached_or_gone)> changed) {
    changed_ = std::move(changed);
  }

  void WorkerSeen(const WorkerReport& worker) override {
    pool_.Update({.name = worker.name,
                  .address = worker.address,
                  .slots = worker.slots,
                  .free_slots = worker.free_slots,
                  .memory_bytes = worker.memory_bytes,
                  .free_memory_bytes = worker.free_memory_bytes,
                  .draining = worker.draining,
                  .storages = worker.storages});
    const bool fresh = names_.insert(worker.name).second;
    if (changed_) changed_(fresh);
  }
  void WorkerGone(const std::string& name) override {
    pool_.Remove(name);
    names_.erase(name);
    if (changed_) changed_(true);
  }

 private:
  rpc::WorkerPool& pool_;
  std::function<void(bool)> changed_;
  // Guarded by the registry's lock, like every call.
  std::set<std::string> names_;
};

}  // namespace

struct Coordinator::Parts {
  explicit Parts(CoordinatorOptions given)
      : options(std::move(given)),
        channel(rpc::MakeChannel(options.frontend)),
        watchdog(clock),
        table(clock, watchdog),
        feeder(pool),
        registry(clock, watchdog, feeder,
                 [this](const std::string& name, const std::string& address) {
                   return ProbeWorker(name, address, options.probe_timeout);
                 },
                 {.gone_after = options.worker_gone_after, .max_workers = options.max_workers}),
        local(options.threads),
        queue(channel, watchdog,
              {.coordinator = options.name,
               .stall_timeout = options.stall_timeout,
               .commit_timeout = options.commit_timeout}),
        storage(options.storage, pool,
                {.coordinator = options.name,
                 .stall_timeout = options.worker_stall_timeout,
                 .max_file_bytes = options.max_registered_bytes}),
        runner(
            queue, [this](const LeaseKey& key) { return MakeExecutor(key); }, storage, clock,
            options.jobs),
        service(registry, table, watchdog, [this] { return Describe(); },
                {.name = options.name, .worker_interval = options.worker_interval}) {}

  std::unique_ptr<engine::Executor> MakeExecutor(const LeaseKey& key);
  v1::CoordinatorInfo Describe();
  void Wake(bool urgent);

  CoordinatorOptions options;
  const base::Clock& clock = base::SystemClock();
  std::shared_ptr<grpc::Channel> channel;
  base::Watchdog watchdog;
  LeaseTable table;
  rpc::WorkerPool pool;
  PoolFeeder feeder;
  WorkerRegistry registry;
  engine::ThreadExecutor local;
  GrpcJobQueue queue;
  GrpcNodeStorage storage;
  JobRunner runner;
  GrpcCoordinatorService service;
  std::atomic<bool> draining = false;
  mutable std::mutex mutex;
  std::string address;
  LeaseTable::Revision told;
  // Null before Start and after Drain.
  std::unique_ptr<LeaseLoop> loop;
  std::unique_ptr<FrontendHeartbeat> heartbeat;
  bool drained = false;
};

std::unique_ptr<engine::Executor> Coordinator::Parts::MakeExecutor(const LeaseKey& key) {
  rpc::RemoteExecutorOptions remote;
  remote.job_id = key.job_id;
  remote.epoch = key.epoch;
  remote.coordinator = options.name;
  remote.window = options.segment_window;
  remote.stall_timeout = options.worker_stall_timeout;
  return std::make_unique<rpc::RemoteExecutor>(pool, local, std::move(remote));
}

v1::CoordinatorInfo Coordinator::Parts::Describe() {
  v1::CoordinatorInfo info;
  info.set_name(options.name);
  {
    std::lock_guard lock(mutex);
    info.set_address(address);
  }
  info.set_job_slots(options.job_slots);
  info.set_jobs_running(static_cast<uint32_t>(table.size()));
  info.set_draining(draining);
  info.set_version(options.version);
  info.set_simd_target(histeq::ActiveTargetName());
  for (const std::string& name : options.storage.NamesThere()) info.add_storages(name);
  for (const WorkerRegistry::Attached& attached : registry.Workers()) {
    v1::WorkerInfo& worker = *info.add_workers();
    worker.set_name(attached.report.name);
    worker.set_address(attached.report.address);
    worker.set_slots(attached.report.slots);
    worker.set_free_slots(attached.report.free_slots);
    worker.set_memory_bytes(attached.report.memory_bytes);
    worker.set_free_memory_bytes(attached.report.free_memory_bytes);
    worker.set_segments_done(pool.SegmentsDone(attached.report.name));
    worker.set_simd_target(attached.report.simd_target);
    worker.set_version(attached.report.version);
    worker.set_draining(attached.report.draining);
    for (const std::string& name : attached.report.storages) worker.add_storages(name);
    *worker.mutable_last_heartbeat_time() = rpc::ToProto(attached.last_heartbeat);
  }
  return info;
}

void Coordinator::Parts::Wake(bool urgent) {
  std::lock_guard lock(mutex);
  if (heartbeat != nullptr) heartbeat->Wake(urgent);
}

Coordinator::Coordinator(CoordinatorOptions options) {
  options.jobs.job_slots = options.job_slots;
  if (options.threads == 0) options.threads = std::max(1u, std::thread::hardware_concurrency());
  parts_ = std::make_unique<Parts>(std::move(options));
  Parts& parts = *parts_;
  parts.address = parts.options.address;
  parts.feeder.SetChangeCallback([&parts](bool urgent) { parts.Wake(urgent); });
  parts.table.SetChangeCallback([&parts] {
    const LeaseTable::Revision now = parts.table.revision();
    bool urgent;
    {
      std::lock_guard lock(parts.mutex);
      urgent = now.urgent != parts.told.urgent;
      parts.told = now;
    }
    parts.Wake(urgent);
  });
}

Coordinator::~Coordinator() { Drain(absl::ZeroDuration()); }

grpc::Service* Coordinator::service() { return &parts_->service; }

void Coordinator::Start(const std::string& address) {
  Parts& parts = *parts_;
  {
    std::lock_guard lock(parts.mutex);
    if (!address.empty()) parts.address = address;
  }
  parts.loop = std::make_unique<LeaseLoop>(
      parts.queue, parts.table,
      [&parts](uint32_t slot, const LeaseGrant& grant, std::shared_ptr<HeldLease> lease) {
        parts.runner.Run(slot, grant, std::move(lease));
      },
      LeaseLoop::Options{.job_slots = parts.options.job_slots, .wait = parts.options.lease_wait});
  auto heartbeat = std::make_unique<FrontendHeartbeat>(
      parts.channel, parts.table, parts.watchdog, parts.clock,
      [&parts] { return parts.Describe(); },
      [&parts](bool connected) { parts.loop->SetConnected(connected); },
      FrontendHeartbeat::Options{.interval = parts.options.heartbeat_interval,
                                 .timeout = parts.options.heartbeat_timeout});
  std::lock_guard lock(parts.mutex);
  parts.heartbeat = std::move(heartbeat);
}

void Coordinator::Drain(absl::Duration timeout) {
  Parts& parts = *parts_;
  if (std::exchange(parts.drained, true)) return;
  parts.draining = true;
  parts.registry.StartDrain();
  if (parts.loop != nullptr) {
    parts.loop->StopLeasing();
    parts.Wake(/*urgent=*/true);
    rpc::LogEvent(rpc::LogLevel::kInfo, "draining",
                  {{"jobs", fmt::format("{}", parts.loop->running())}});
    if (!parts.loop->WaitIdle(timeout)) {
      rpc::LogEvent(rpc::LogLevel::kWarning, "drain_timeout",
                    {{"jobs", fmt::format("{}", parts.loop->running())}});
      parts.table.DrainAll();
    }
    // Joined before the heartbeats end: what is handed back is still held until the frontend knows.
    parts.loop->WaitIdle(absl::InfiniteDuration());
    std::unique_ptr<FrontendHeartbeat> heartbeat;
    {
      std::lock_guard lock(parts.mutex);
      heartbeat = std::move(parts.heartbeat);
    }
    heartbeat.reset();
    parts.loop.reset();
  }
  parts.registry.DetachAll();
}

uint32_t Coordinator::jobs_running() const { return static_cast<uint32_t>(parts_->table.size()); }

size_t Coordinator::workers() const { return parts_->registry.Workers().size(); }

}  // namespace histeq::coordinator
