#include "node_registry.h"

#include <algorithm>
#include <set>
#include <utility>

namespace histeq::frontend {

namespace {

std::vector<std::string> Storages(const NodeReport& report) {
  std::set<std::string> names(report.storages.begin(), report.storages.end());
  for (const WorkerReport& worker : report.workers) {
    names.insert(worker.storages.begin(), worker.storages.end());
  }
  return {names.begin(), names.end()};
}

}  // namespace

bool NodeRegistry::Report(NodeReport report) {
  std::lock_guard lock(mutex_);
  if (entries_.count(report.name) == 0 && entries_.size() >= options_.max_nodes) {
    auto oldest = entries_.begin();
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->second.heard_at < oldest->second.heard_at) oldest = it;
    }
    entries_.erase(oldest);
  }
  const std::string name = report.name;
  Entry& entry = entries_[name];
  std::vector<std::string> storages = Storages(report);
  if (storages != entry.storages || !IsAlive(entry)) ++storage_generation_;
  entry.storages = std::move(storages);
  entry.report = std::move(report);
  entry.last_heartbeat = clock_.Now();
  entry.heard_at = clock_.Monotonic();
  return !std::exchange(entry.present, true);
}

std::vector<std::string> NodeRegistry::StoragesOf(const std::string& coordinator) const {
  std::lock_guard lock(mutex_);
  const auto entry = entries_.find(coordinator);
  if (entry == entries_.end() || !IsAlive(entry->second)) return {};
  return entry->second.storages;
}

bool NodeRegistry::HasStorage(const std::string& storage) const {
  std::lock_guard lock(mutex_);
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& item) {
    const Entry& entry = item.second;
    return IsAlive(entry) &&
           std::binary_search(entry.storages.begin(), entry.storages.end(), storage);
  });
}

uint64_t NodeRegistry::StorageGeneration() const {
  std::lock_guard lock(mutex_);
  return storage_generation_;
}

bool NodeRegistry::AnyAlive() const {
  std::lock_guard lock(mutex_);
  return std::any_of(entries_.begin(), entries_.end(),
                     [this](const auto& item) { return IsAlive(item.second); });
}

std::vector<std::string> NodeRegistry::TakeGone() {
  std::lock_guard lock(mutex_);
  std::vector<std::string> gone;
  for (auto it = entries_.begin(); it != entries_.end();) {
    Entry& entry = it->second;
    if (!IsAlive(entry) && std::exchange(entry.present, false)) gone.push_back(it->first);
    const bool old =
        clock_.Monotonic() - entry.heard_at > options_.gone_after + options_.forget_after;
    it = old ? entries_.erase(it) : std::next(it);
  }
  return gone;
}

std::vector<NodeRegistry::Node> NodeRegistry::Nodes() const {
  std::lock_guard lock(mutex_);
  std::vector<Node> nodes;
  for (const auto& [name, entry] : entries_) {
    nodes.push_back({entry.report, entry.last_heartbeat, IsAlive(entry)});
  }
  return nodes;
}

}  // namespace histeq::frontend
