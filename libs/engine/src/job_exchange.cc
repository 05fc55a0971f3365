#include "job_exchange.h"

#include <fmt/format.h>

#include <utility>

namespace histeq::engine {

JobExchange::JobExchange(const Plan& plan, Spool& spool, codec::Stitcher& stitcher,
                         Progress progress)
    : plan_(plan),
      spool_(spool),
      stitcher_(stitcher),
      progress_(std::move(progress)),
      delivered_(plan.count(), false) {}

absl::Status JobExchange::Read(uint32_t index, uint64_t offset, std::span<uint8_t> out) {
  return spool_.Read(index, offset, out);
}

std::span<uint8_t> JobExchange::InPlace(uint32_t index) { return spool_.InPlace(index); }

absl::Status JobExchange::Deliver(uint32_t index, codec::Fragment fragment) {
  // The fragment takes the place of the samples.
  spool_.Release(index);
  std::unique_lock lock(mutex_);
  if (!status_.ok()) return status_;
  if (delivered_[index])
    return absl::InternalError(fmt::format("segment {} was delivered twice", index));
  delivered_[index] = true;
  waiting_.emplace(index, std::move(fragment));
  // Whoever brings the fragment that is missing writes all that can be written; others leave theirs
  // and go on.
  if (writing_) return absl::OkStatus();
  writing_ = true;
  while (status_.ok()) {
    const auto next = waiting_.find(written_);
    if (next == waiting_.end()) break;
    codec::Fragment taken = std::move(next->second);
    waiting_.erase(next);
    const uint32_t written = written_ + 1;
    // Others read, and leave their fragments, while a slow sink writes.
    lock.unlock();
    const absl::Status status = stitcher_.Append(taken);
    taken = {};
    if (status.ok() && progress_ != nullptr) progress_(written);
    lock.lock();
    if (!status.ok()) {
      status_ = status;
      break;
    }
    written_ = written;
    if (prefix_grown_ == nullptr) continue;
    // The next segment may begin while this thread writes what waits.
    lock.unlock();
    prefix_grown_();
    lock.lock();
  }
  writing_ = false;
  return status_;
}

uint32_t JobExchange::delivered_prefix() const {
  std::lock_guard lock(mutex_);
  return written_;
}

}  // namespace histeq::engine
