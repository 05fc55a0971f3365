#include "grpc_worker.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <utility>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/watchdog.h"
#include "fmt/format.h"
#include "grpc_coordinator_links.h"
#include "grpc_worker_service.h"
#include "histeq/target.h"
#include "mapping_cache.h"
#include "rpc/event_log.h"
#include "slots.h"
#include "work_threads.h"

namespace histeq::worker {
namespace {

WorkerOptions WithDefaults(WorkerOptions options) {
  if (options.threads == 0) options.threads = std::max(1u, std::thread::hardware_concurrency());
  if (options.slots == 0) options.slots = options.threads;
  return options;
}

}  // namespace

struct Worker::Parts {
  explicit Parts(WorkerOptions given)
      : options(WithDefaults(std::move(given))),
        watchdog(base::SystemClock()),
        slots(options.slots, options.memory_bytes),
        threads(options.threads),
        mappings(options.mapping_cache_bytes),
        service(slots, threads, mappings, options.storage, watchdog, [this] { return Describe(); },
                stop.token(),
                {.stall_timeout = options.stall_timeout,
                 .max_file_reads = options.max_file_reads,
                 .max_waiting_file_reads = options.max_waiting_file_reads,
                 .segment_delay = options.segment_delay}) {}

  v1::WorkerInfo Describe() {
    const Slots::State state = slots.state();
    v1::WorkerInfo info;
    info.set_name(options.name);
    {
      std::lock_guard lock(mutex);
      info.set_address(address);
    }
    info.set_slots(state.slots);
    info.set_free_slots(state.free_slots);
    info.set_memory_bytes(state.memory_bytes);
    info.set_free_memory_bytes(state.free_memory_bytes);
    info.set_segments_done(slots.done());
    info.set_simd_target(histeq::ActiveTargetName());
    info.set_draining(state.draining);
    info.set_version(options.version);
    for (const std::string& storage : options.storage.NamesThere()) info.add_storages(storage);
    return info;
  }

  const WorkerOptions options;
  base::Watchdog watchdog;
  base::CancelSource stop;
  Slots slots;
  WorkThreads threads;
  MappingCache mappings;
  GrpcWorkerService service;
  mutable std::mutex mutex;
  std::string address;
  // Null before Start and after Drain.
  std::shared_ptr<CoordinatorLinks> links;
  bool drained = false;

  std::shared_ptr<CoordinatorLinks> Links() const {
    std::lock_guard lock(mutex);
    return links;
  }
};

Worker::Worker(WorkerOptions options) : parts_(std::make_unique<Parts>(std::move(options))) {
  parts_->slots.SetChangeCallback([parts = parts_.get()] {
    const auto links = parts->Links();
    if (links == nullptr) return;
    const Slots::State state = parts->slots.state();
    // Coordinators count the places that they have taken themselves.
    const bool waited_for = state.free_slots > 0 && parts->slots.TakeRefused();
    links->Wake(/*urgent=*/waited_for || state.draining);
  });
}

Worker::~Worker() { Drain(absl::ZeroDuration()); }

grpc::Service* Worker::service() { return &parts_->service; }

void Worker::Start(const std::string& address) {
  Parts& parts = *parts_;
  {
    std::lock_guard lock(parts.mutex);
    parts.address = address;
  }
  auto links = std::make_shared<CoordinatorLinks>(
      parts.options.coordinators, parts.watchdog, [&parts] { return parts.Describe(); },
      CoordinatorLinks::Options{.resolve_interval = parts.options.resolve_interval,
                                .max_links = parts.options.max_coordinators,
                                .link = {}});
  std::lock_guard lock(parts.mutex);
  parts.links = std::move(links);
}

void Worker::Drain(absl::Duration timeout) {
  Parts& parts = *parts_;
  if (std::exchange(parts.drained, true)) return;
  // Its change callback sends the news.
  parts.slots.StartDrain();
  rpc::LogEvent(rpc::LogLevel::kInfo, "draining",
                {{"segments", fmt::format("{}", parts.slots.Working().size())}});
  if (!parts.slots.WaitIdle(timeout)) {
    rpc::LogEvent(rpc::LogLevel::kWarning, "drain_timeout",
                  {{"segments", fmt::format("{}", parts.slots.Working().size())}});
  }
  parts.stop.Cancel(absl::UnavailableError("the worker is shutting down"));
  std::shared_ptr<CoordinatorLinks> links;
  {
    std::lock_guard lock(parts.mutex);
    links = std::move(parts.links);
  }
  if (links != nullptr) links->Stop();
  parts.slots.WaitIdle(absl::InfiniteDuration());
}

uint32_t Worker::threads() const { return parts_->options.threads; }
uint32_t Worker::slots() const { return parts_->options.slots; }

size_t Worker::coordinators() const {
  const auto links = parts_->Links();
  return links == nullptr ? 0 : links->connected();
}

uint64_t Worker::mappings_bytes() const { return parts_->mappings.bytes(); }

}  // namespace histeq::worker
