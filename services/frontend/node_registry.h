#pragma once

// Which coordinators have been heard of, and what they said.

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/clock.h"

namespace histeq::frontend {

// A worker as its coordinator reports it.
struct WorkerReport {
  std::string name;
  std::string address;
  uint32_t slots = 0;
  uint32_t free_slots = 0;
  uint64_t memory_bytes = 0;
  uint64_t free_memory_bytes = 0;
  uint64_t segments_done = 0;
  std::string simd_target;
  std::string version;
  bool draining = false;
  // Names of its storage roots.
  std::vector<std::string> storages;
  // By the coordinator's clock.
  std::optional<absl::Time> last_heartbeat;
};

// A coordinator as it reports itself.
struct NodeReport {
  std::string name;
  std::string address;
  uint32_t job_slots = 0;
  uint32_t jobs_running = 0;
  std::string simd_target;
  std::string version;
  bool draining = false;
  // Names of its own storage roots.
  std::vector<std::string> storages;
  std::vector<WorkerReport> workers;
};

// Thread-safe. Memory alone: after a restart nobody has been heard of.
class NodeRegistry {
 public:
  struct Options {
    // Silent for longer: gone.
    absl::Duration gone_after = absl::Seconds(20);
    // Gone for longer: forgotten.
    absl::Duration forget_after = absl::Hours(1);
    // Kept; those gone longest are forgotten first.
    size_t max_nodes = 512;
  };
  NodeRegistry(const base::Clock& clock, Options options) : clock_(clock), options_(options) {}

  // A heartbeat. True when the coordinator was not alive before.
  bool Report(NodeReport report);

  // What is in reach of a coordinator that is alive: its own storage roots and its workers'. In
  // order, each once.
  std::vector<std::string> StoragesOf(const std::string& coordinator) const;
  // Whether a coordinator that is alive has the storage in reach.
  bool HasStorage(const std::string& storage) const;
  // Changes whenever a report brings another set of storages than the one before.
  uint64_t StorageGeneration() const;
  bool AnyAlive() const;

  // Names of those that have gone since the last call. Forgets old ones.
  std::vector<std::string> TakeGone();

  struct Node {
    NodeReport report;
    absl::Time last_heartbeat;
    bool alive = false;
  };
  // In order of names.
  std::vector<Node> Nodes() const;

 private:
  struct Entry {
    NodeReport report;
    absl::Time last_heartbeat;
    absl::Duration heard_at;
    // Told by Report, not yet by TakeGone.
    bool present = false;
    std::vector<std::string> storages;
  };
  bool IsAlive(const Entry& entry) const {
    return clock_.Monotonic() - entry.heard_at <= options_.gone_after;
  }

  const base::Clock& clock_;
  const Options options_;
  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;
  uint64_t storage_generation_ = 0;
};

}  // namespace histeq::frontend
