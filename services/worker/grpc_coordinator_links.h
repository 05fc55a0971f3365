#pragma once

// The coordinators that a worker is attached to.

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "base/watchdog.h"
#include "coordinator_address.h"
#include "grpc_coordinator_link.h"
#include "histeq/v1/node.pb.h"
#include "name_lookup.h"

namespace histeq::worker {

// One link for each address behind the entries. Names are looked up again and again: an address
// that comes gets a link, one that went loses it when its stream has broken. Thread-safe.
class CoordinatorLinks {
 public:
  struct Options {
    absl::Duration resolve_interval = absl::Seconds(30);
    // Links at once; addresses beyond are left out.
    size_t max_links = 64;
    CoordinatorLink::Options link;
  };
  using Resolve = NameLookup::Resolve;

  // `describe` gives this worker's state, from any thread. `watchdog` outlives it. `resolve` may
  // still run when this object is gone.
  CoordinatorLinks(std::vector<CoordinatorEntry> entries, base::Watchdog& watchdog,
                   std::function<v1::WorkerInfo()> describe, Options options,
                   Resolve resolve = ResolveCoordinator);
  // Stop.
  ~CoordinatorLinks();
  CoordinatorLinks(const CoordinatorLinks&) = delete;
  CoordinatorLinks& operator=(const CoordinatorLinks&) = delete;

  // The worker's state changed; `urgent`: somebody waits to hear of it.
  void Wake(bool urgent);
  // Ends all streams. Does not wait for a name that is being looked up.
  void Stop();

  // Addresses with a link, and how many of them have a stream that works.
  std::vector<std::string> Addresses() const;
  size_t connected() const;

 private:
  void Run();
  void Refresh();

  const std::vector<CoordinatorEntry> entries_;
  base::Watchdog& watchdog_;
  const std::function<v1::WorkerInfo()> describe_;
  const Options options_;
  NameLookup lookup_;
  AttachedCoordinators attached_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::unique_ptr<CoordinatorLink>> links_;
  bool stopping_ = false;
  // The thread's own: the present addresses of each entry, and whether its failure was logged.
  std::vector<std::vector<std::string>> resolved_;
  std::vector<bool> failed_;
  bool too_many_ = false;
  std::thread thread_;
};

}  // namespace histeq::worker
