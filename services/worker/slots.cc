#include "slots.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace histeq::worker {
namespace {
// About the time of one segment.
constexpr absl::Duration kRetryAfter = absl::Milliseconds(100);
}  // namespace

Slots::Place::~Place() {
  {
    std::lock_guard lock(slots_.mutex_);
    slots_.working_.erase(work_);
    slots_.used_bytes_ -= bytes_;
    ++slots_.done_;
    if (slots_.working_.empty()) slots_.idle_.notify_all();
  }
  slots_.Changed();
}

absl::Status Slots::Place::Grow(uint64_t bytes) {
  {
    std::lock_guard lock(slots_.mutex_);
    HISTEQ_RETURN_IF_ERROR(slots_.TakeMemory(bytes, bytes_));
    bytes_ += bytes;
  }
  slots_.Changed();
  return absl::OkStatus();
}

Slots::Slots(uint32_t slots, uint64_t memory_bytes)
    : slots_(std::max(1u, slots)), memory_bytes_(memory_bytes) {}

absl::StatusOr<std::unique_ptr<Slots::Place>> Slots::Take(Work work, uint64_t bytes) {
  std::unique_ptr<Place> place;
  {
    std::lock_guard lock(mutex_);
    if (draining_) {
      return base::MakeError(absl::StatusCode::kUnavailable,
                             "the worker is shutting down and takes no more work",
                             {.reason = "WORKER_DRAINING"});
    }
    if (working_.size() >= slots_) {
      refused_ = true;
      return base::MakeError(absl::StatusCode::kResourceExhausted,
                             fmt::format("all {} slots of the worker are taken", slots_),
                             {.reason = "NO_SLOT",
                              .metadata = {{"limit", fmt::format("{}", slots_)},
                                           {"actual", fmt::format("{}", working_.size() + 1)}},
                              .retry_after = kRetryAfter});
    }
    HISTEQ_RETURN_IF_ERROR(TakeMemory(bytes, /*held=*/0));
    working_.push_back(std::move(work));
    place.reset(new Place(*this, std::prev(working_.end()), bytes));
  }
  Changed();
  return place;
}

absl::Status Slots::TakeMemory(uint64_t bytes, uint64_t held) {
  if (bytes <= memory_bytes_ - used_bytes_) {
    used_bytes_ += bytes;
    return absl::OkStatus();
  }
  refused_ = true;
  std::optional<absl::Duration> retry_after;
  if (bytes <= memory_bytes_ - held) retry_after = kRetryAfter;
  return base::MakeError(
      absl::StatusCode::kResourceExhausted,
      fmt::format("{} bytes of memory are needed, {} of the worker's {} (--memory-budget) are free",
                  bytes, memory_bytes_ - used_bytes_, memory_bytes_),
      {.reason = "MEMORY_BUDGET",
       .metadata = {{"limit", fmt::format("{}", memory_bytes_)},
                    {"actual", fmt::format("{}", bytes)}},
       .retry_after = retry_after});
}

void Slots::Changed() {
  if (changed_) changed_();
}

bool Slots::TakeRefused() {
  std::lock_guard lock(mutex_);
  return std::exchange(refused_, false);
}

void Slots::StartDrain() {
  {
    std::lock_guard lock(mutex_);
    draining_ = true;
  }
  Changed();
}

bool Slots::WaitIdle(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  // A year stands for "for ever": the clock's arithmetic overflows beyond some centuries.
  timeout = std::min(timeout, absl::Hours(24 * 365));
  return idle_.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                        [this] { return working_.empty(); });
}

Slots::State Slots::state() const {
  std::lock_guard lock(mutex_);
  return {.slots = slots_,
          .free_slots = draining_ ? 0 : slots_ - static_cast<uint32_t>(working_.size()),
          .memory_bytes = memory_bytes_,
          .free_memory_bytes = memory_bytes_ - used_bytes_,
          .draining = draining_};
}

std::vector<Work> Slots::Working() const {
  std::lock_guard lock(mutex_);
  return {working_.begin(), working_.end()};
}

uint64_t Slots::done() const {
  std::lock_guard lock(mutex_);
  return done_;
}

}  // namespace histeq::worker
