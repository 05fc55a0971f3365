#include "name_lookup.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/error.h"

namespace histeq::worker {

struct NameLookup::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;
};

NameLookup::NameLookup(Resolve resolve)
    : resolve_(std::move(resolve)), shared_(std::make_shared<Shared>()) {}

NameLookup::~NameLookup() { Stop(); }

absl::StatusOr<std::vector<std::string>> NameLookup::Find(const CoordinatorEntry& entry) {
  using Found = std::optional<absl::StatusOr<std::vector<std::string>>>;
  const auto found = std::make_shared<Found>();
  std::unique_lock lock(shared_->mutex);
  if (!shared_->stopping) {
    std::thread([resolve = resolve_, entry, found, shared = shared_] {
      auto result = resolve(entry);
      std::lock_guard lock(shared->mutex);
      *found = std::move(result);
      shared->changed.notify_all();
    }).detach();
    // As long as the resolver's own time limits let it.
    shared_->changed.wait(lock, [&] { return found->has_value() || shared_->stopping; });
  }
  if (shared_->stopping) {
    return base::MakeError(absl::StatusCode::kUnavailable, "the worker is shutting down",
                           {.reason = "SHUTTING_DOWN"});
  }
  return **found;
}

void NameLookup::Stop() {
  std::lock_guard lock(shared_->mutex);
  shared_->stopping = true;
  shared_->changed.notify_all();
}

}  // namespace histeq::worker
