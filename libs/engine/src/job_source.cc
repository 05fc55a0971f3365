#include "job_source.h"

#include <algorithm>
#include <cstring>

#include "base/status_macros.h"

namespace histeq::engine {
namespace {

constexpr size_t kPeekBytes = 64 << 10;

}  // namespace

absl::StatusOr<size_t> MemorySource::Read(std::span<uint8_t> buffer) {
  const size_t count = std::min(buffer.size(), rest_.size());
  if (count != 0) std::memcpy(buffer.data(), rest_.data(), count);
  rest_ = rest_.subspan(count);
  return count;
}

absl::StatusOr<bool> JobSource::Peek(uint64_t bytes) {
  // One more than asked for, to see the end.
  while (!ended_ && peeked_.size() <= bytes) {
    HISTEQ_RETURN_IF_ERROR(token_.Check());
    const size_t have = peeked_.size();
    peeked_.resize(have + std::min<uint64_t>(kPeekBytes, bytes + 1 - have));
    HISTEQ_ASSIGN_OR_RETURN(const size_t count,
                            rest_.Read(std::span<uint8_t>(peeked_).subspan(have)));
    peeked_.resize(have + count);
    ended_ = count == 0;
  }
  return ended_ && peeked_.size() <= bytes;
}

absl::StatusOr<size_t> JobSource::Read(std::span<uint8_t> buffer) {
  HISTEQ_RETURN_IF_ERROR(token_.Check());
  if (used_ < peeked_.size()) {
    const size_t count = std::min(buffer.size(), peeked_.size() - used_);
    std::memcpy(buffer.data(), peeked_.data() + used_, count);
    used_ += count;
    if (used_ == peeked_.size()) {
      peeked_ = {};
      used_ = 0;
    }
    return count;
  }
  if (ended_) return 0;
  return rest_.Read(buffer);
}

}  // namespace histeq::engine
