#include "worker_registry.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "store/location.h"

namespace histeq::coordinator {
namespace {

absl::Status BadWorker(const std::string& field, std::string message) {
  return base::MakeError(
      absl::StatusCode::kInvalidArgument, std::move(message),
      {.reason = "BAD_WORKER", .metadata = {}, .field = "worker." + field, .retry_after = {}});
}

constexpr size_t kMaxStorages = 64;

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c > 0x20 && c != 0x7f; });
}

bool IsAddress(std::string_view address) {
  if (address.size() > 1024 || !IsPrintable(address)) return false;
  if (address.starts_with("unix:")) return address.size() > 5;
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view port = address.substr(colon + 1);
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  return error == std::errc() && end == port.data() + port.size() && number >= 1 && number <= 65535;
}

}  // namespace

absl::Status CheckWorkerReport(const WorkerReport& report) {
  if (report.name.empty() || report.name.size() > 255 || !IsPrintable(report.name)) {
    return BadWorker("name", "a worker's name has 1 to 255 printable characters without spaces");
  }
  if (report.slots == 0 || report.slots > 65536) {
    return BadWorker("slots", fmt::format("a worker has 1 to 65536 slots, not {}", report.slots));
  }
  if (report.free_slots > report.slots) {
    return BadWorker("free_slots",
                     fmt::format("{} of {} slots cannot be free", report.free_slots, report.slots));
  }
  if (!IsAddress(report.address)) {
    return BadWorker("address", fmt::format("'{}' is not an address that can be called; wanted is "
                                            "host:port or unix:path",
                                            report.address.substr(0, 200)));
  }
  if (report.storages.size() > kMaxStorages ||
      !std::all_of(report.storages.begin(), report.storages.end(), store::IsStorageName)) {
    return BadWorker("storages",
                     fmt::format("a worker has at most {} storages, each with a name of 1 to {} "
                                 "characters of [0-9A-Za-z._-]",
                                 kMaxStorages, store::kMaxStorageNameBytes));
  }
  return absl::OkStatus();
}

WorkerRegistry::Session::~Session() {
  // First the alarm: its callback uses the registry under this id.
  alarm_.reset();
  registry_.Detach(id_, name_);
}

absl::Status WorkerRegistry::Session::Update(const WorkerReport& report) {
  HISTEQ_RETURN_IF_ERROR(CheckWorkerReport(report));
  if (report.name != name_) {
    return BadWorker("name", fmt::format("the stream of worker {} cannot become that of {}", name_,
                                         report.name));
  }
  {
    std::lock_guard lock(registry_.mutex_);
    auto found = registry_.workers_.find(name_);
    if (found == registry_.workers_.end() || found->second.id != id_) {
      return absl::AbortedError(
          fmt::format("worker {} was counted as gone, or has a newer stream", name_));
    }
    if (report.address != found->second.report.address) {
      return BadWorker("address", "a worker's address cannot change during a stream");
    }
    found->second.report = report;
    found->second.last_heartbeat = registry_.clock_.Now();
    registry_.listener_.WorkerSeen(report);
  }
  alarm_->Extend(registry_.options_.gone_after);
  return absl::OkStatus();
}

WorkerRegistry::WorkerRegistry(const base::Clock& clock, base::Watchdog& watchdog,
                               WorkerListener& listener, Probe probe, Options options)
    : clock_(clock),
      watchdog_(watchdog),
      listener_(listener),
      probe_(std::move(probe)),
      options_(options) {}

absl::StatusOr<std::unique_ptr<WorkerRegistry::Session>> WorkerRegistry::Attach(
    const WorkerReport& report, std::function<void()> end) {
  HISTEQ_RETURN_IF_ERROR(CheckWorkerReport(report));
  uint64_t id;
  std::function<void()> end_old;
  {
    std::lock_guard lock(mutex_);
    if (draining_) {
      return base::MakeError(absl::StatusCode::kUnavailable,
                             "the coordinator is shutting down and takes no more workers",
                             {.reason = "COORDINATOR_DRAINING",
                              .metadata = {},
                              .field = {},
                              .retry_after = absl::Seconds(5)});
    }
    auto found = workers_.find(report.name);
    if (found != workers_.end()) {
      if (found->second.report.address != report.address) {
        return base::MakeError(
            absl::StatusCode::kAlreadyExists,
            fmt::format(
                "a live worker at {} has the name {}; give one of them another name (--name)",
                found->second.report.address, report.name),
            {.reason = "WORKER_NAME_TAKEN",
             .metadata = {{"name", report.name}, {"address", found->second.report.address}},
             .field = "worker.name",
             .retry_after = options_.gone_after});
      }
      // The same worker after a broken stream that this side has not noticed, or after a restart.
      end_old = std::move(found->second.end);
      if (found->second.confirmed) listener_.WorkerGone(report.name);
      workers_.erase(found);
    } else if (workers_.size() >= options_.max_workers) {
      return base::MakeError(
          absl::StatusCode::kResourceExhausted,
          fmt::format("{} workers are attached already, the limit of --max-workers",
                      workers_.size()),
          {.reason = "TOO_MANY_WORKERS",
           .metadata = {{"limit", fmt::format("{}", options_.max_workers)},
                        {"actual", fmt::format("{}", workers_.size() + 1)}},
           .field = {},
           .retry_after = absl::Seconds(30)});
    }
    id = next_id_++;
    workers_[report.name] = Entry{id, report, std::move(end), clock_.Now(), false};
  }
  if (end_old) end_old();
  // From here on the name is taken; every return detaches.
  std::unique_ptr<Session> session(new Session(*this, id, report.name));
  if (absl::Status reached = probe_(report.name, report.address); !reached.ok()) {
    const bool wrong = reached.code() == absl::StatusCode::kInvalidArgument;
    return base::MakeError(
        wrong ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kUnavailable,
        fmt::format("worker {} cannot be called back at {}: {}", report.name, report.address,
                    std::string(reached.message())),
        {.reason = wrong ? "BAD_WORKER" : "WORKER_UNREACHABLE",
         .metadata = {{"address", report.address}},
         .field = "worker.address",
         .retry_after = absl::Seconds(5)});
  }
  {
    std::lock_guard lock(mutex_);
    auto found = workers_.find(report.name);
    if (found == workers_.end() || found->second.id != id) {
      return absl::AbortedError(fmt::format("worker {} has a newer stream", report.name));
    }
    found->second.confirmed = true;
    found->second.last_heartbeat = clock_.Now();
    listener_.WorkerSeen(report);
  }
  session->alarm_ =
      watchdog_.ArmAfter(options_.gone_after, [this, id, name = report.name] { Expire(id, name); });
  return session;
}

void WorkerRegistry::Detach(uint64_t id, const std::string& name) {
  std::lock_guard lock(mutex_);
  auto found = workers_.find(name);
  if (found == workers_.end() || found->second.id != id) return;
  if (found->second.confirmed) listener_.WorkerGone(name);
  workers_.erase(found);
}

void WorkerRegistry::Expire(uint64_t id, const std::string& name) {
  std::function<void()> end;
  {
    std::lock_guard lock(mutex_);
    auto found = workers_.find(name);
    if (found == workers_.end() || found->second.id != id) return;
    end = std::move(found->second.end);
    if (found->second.confirmed) listener_.WorkerGone(name);
    workers_.erase(found);
  }
  if (end) end();
}

void WorkerRegistry::StartDrain() {
  std::lock_guard lock(mutex_);
  draining_ = true;
}

bool WorkerRegistry::draining() const {
  std::lock_guard lock(mutex_);
  return draining_;
}

void WorkerRegistry::DetachAll() {
  std::vector<std::function<void()>> ends;
  {
    std::lock_guard lock(mutex_);
    for (auto& [name, entry] : workers_) {
      if (entry.end) ends.push_back(std::move(entry.end));
      if (entry.confirmed) listener_.WorkerGone(name);
    }
    workers_.clear();
  }
  for (const auto& end : ends) end();
}

std::vector<WorkerRegistry::Attached> WorkerRegistry::Workers() const {
  std::lock_guard lock(mutex_);
  std::vector<Attached> workers;
  for (const auto& [name, entry] : workers_) {
    if (entry.confirmed) workers.push_back({entry.report, entry.last_heartbeat});
  }
  return workers;
}

}  // namespace histeq::coordinator
