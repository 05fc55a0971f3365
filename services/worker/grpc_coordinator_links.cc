#include "grpc_coordinator_links.h"

#include <algorithm>
#include <set>
#include <utility>

#include "fmt/format.h"
#include "rpc/event_log.h"

namespace histeq::worker {
namespace {
// After a failed look-up.
constexpr absl::Duration kSoon = absl::Seconds(2);
}  // namespace

CoordinatorLinks::CoordinatorLinks(std::vector<CoordinatorEntry> entries, base::Watchdog& watchdog,
                                   std::function<v1::WorkerInfo()> describe, Options options,
                                   Resolve resolve)
    : entries_(std::move(entries)),
      watchdog_(watchdog),
      describe_(std::move(describe)),
      options_(options),
      lookup_(std::move(resolve)),
      resolved_(entries_.size()),
      failed_(entries_.size(), false),
      thread_([this] { Run(); }) {}

CoordinatorLinks::~CoordinatorLinks() { Stop(); }

void CoordinatorLinks::Wake(bool urgent) {
  std::lock_guard lock(mutex_);
  for (const auto& [address, link] : links_) link->Wake(urgent);
}

void CoordinatorLinks::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  lookup_.Stop();
  if (thread_.joinable()) thread_.join();
  std::map<std::string, std::unique_ptr<CoordinatorLink>> links;
  {
    std::lock_guard lock(mutex_);
    links.swap(links_);
  }
}

std::vector<std::string> CoordinatorLinks::Addresses() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> addresses;
  for (const auto& [address, link] : links_) addresses.push_back(address);
  return addresses;
}

size_t CoordinatorLinks::connected() const {
  std::lock_guard lock(mutex_);
  return static_cast<size_t>(std::count_if(
      links_.begin(), links_.end(), [](const auto& entry) { return entry.second->connected(); }));
}

void CoordinatorLinks::Run() {
  const bool names = std::any_of(entries_.begin(), entries_.end(),
                                 [](const auto& entry) { return entry.address.empty(); });
  while (true) {
    Refresh();
    std::unique_lock lock(mutex_);
    if (!names) {
      changed_.wait(lock, [this] { return stopping_; });
      return;
    }
    const bool failed = std::find(failed_.begin(), failed_.end(), true) != failed_.end();
    const absl::Duration wait =
        failed ? std::min(kSoon, options_.resolve_interval) : options_.resolve_interval;
    if (changed_.wait_for(lock, absl::ToChronoNanoseconds(wait), [this] { return stopping_; })) {
      return;
    }
  }
}

void CoordinatorLinks::Refresh() {
  std::set<std::string> wanted;
  for (size_t i = 0; i < entries_.size(); ++i) {
    auto found = entries_[i].address.empty() ? lookup_.Find(entries_[i])
                                             : std::vector<std::string>{entries_[i].address};
    {
      std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    if (found.ok()) {
      resolved_[i] = *std::move(found);
    } else if (!failed_[i]) {
      rpc::LogEvent(
          rpc::LogLevel::kWarning, "coordinator_unresolved",
          {{"entry", entries_[i].text}, {"error", std::string(found.status().message())}});
    }
    failed_[i] = !found.ok();
    // A name that cannot be looked up keeps the addresses that it had.
    wanted.insert(resolved_[i].begin(), resolved_[i].end());
  }
  std::vector<std::unique_ptr<CoordinatorLink>> leaving;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    for (auto it = links_.begin(); it != links_.end();) {
      if (wanted.contains(it->first) || it->second->connected()) {
        ++it;
        continue;
      }
      leaving.push_back(std::move(it->second));
      it = links_.erase(it);
    }
    for (const std::string& address : wanted) {
      if (links_.contains(address)) continue;
      if (links_.size() >= options_.max_links) {
        if (!std::exchange(too_many_, true)) {
          rpc::LogEvent(rpc::LogLevel::kWarning, "too_many_coordinators",
                        {{"limit", fmt::format("{}", options_.max_links)}, {"left_out", address}});
        }
        break;
      }
      links_[address] = std::make_unique<CoordinatorLink>(address, watchdog_, attached_, describe_,
                                                          options_.link);
    }
  }
  for (const auto& link : leaving) {
    rpc::LogEvent(rpc::LogLevel::kInfo, "coordinator_removed", {{"address", link->address()}});
  }
}

}  // namespace histeq::worker
