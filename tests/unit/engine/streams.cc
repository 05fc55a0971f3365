#include "streams.h"

#include <algorithm>

#include "base/status_macros.h"

namespace histeq::testing {
namespace {

// What is due at `position` or before.
absl::Status Act(std::map<uint64_t, std::function<absl::Status()>>& acts, uint64_t position) {
  while (!acts.empty() && acts.begin()->first <= position) {
    const auto act = acts.begin()->second;
    acts.erase(acts.begin());
    HISTEQ_RETURN_IF_ERROR(act());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<size_t> TestSource::Read(std::span<uint8_t> buffer) {
  HISTEQ_RETURN_IF_ERROR(Act(acts_, position_));
  const size_t count = std::min({buffer.size(), piece_, bytes_.size() - position_});
  std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(position_), count, buffer.begin());
  position_ += count;
  return count;
}

absl::Status TestSink::Write(std::span<const uint8_t> bytes) {
  HISTEQ_RETURN_IF_ERROR(Act(acts_, bytes_.size() + bytes.size()));
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return absl::OkStatus();
}

}  // namespace histeq::testing
