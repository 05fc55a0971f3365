#include "result_bytes.h"

#include <algorithm>

#include "base/status_macros.h"

namespace histeq::worker {

absl::Status ResultBytes::Write(std::span<const uint8_t> bytes) {
  if (size_ + bytes.size() > held_) {
    const uint64_t more = size_ + bytes.size() - held_;
    HISTEQ_RETURN_IF_ERROR(place_.Grow(more));
    held_ += more;
  }
  size_ += bytes.size();
  while (!bytes.empty()) {
    if (blocks_.empty() || blocks_.back().size() == kBlockBytes) {
      blocks_.emplace_back().reserve(std::min(kBlockBytes, bytes.size()));
    }
    std::vector<uint8_t>& block = blocks_.back();
    const std::span<const uint8_t> part =
        bytes.first(std::min(kBlockBytes - block.size(), bytes.size()));
    block.insert(block.end(), part.begin(), part.end());
    bytes = bytes.subspan(part.size());
  }
  return absl::OkStatus();
}

}  // namespace histeq::worker
