#include "job_source.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "base/status_macros.h"

namespace histeq::engine {
namespace {

constexpr size_t kPeekBytes = 64 << 10;

}  // namespace

absl::StatusOr<bool> JobSource::Peek(uint64_t bytes) {
  // One more than asked for, to see the end.
  uint64_t room = peeked_bytes_;
  while (!ended_ && peeked_bytes_ <= bytes) {
    HISTEQ_RETURN_IF_ERROR(token_.Check());
    if (room == peeked_bytes_) {
      room = std::min(std::max<uint64_t>(kPeekBytes, 2 * room), bytes + 1);
      auto larger = std::make_unique_for_overwrite<uint8_t[]>(room);
      std::copy_n(peeked_.get(), peeked_bytes_, larger.get());
      peeked_ = std::move(larger);
    }
    HISTEQ_ASSIGN_OR_RETURN(const size_t count,
                            rest_.Read({peeked_.get() + peeked_bytes_, room - peeked_bytes_}));
    peeked_bytes_ += count;
    ended_ = count == 0;
  }
  return ended_ && peeked_bytes_ <= bytes;
}

absl::StatusOr<size_t> JobSource::Read(std::span<uint8_t> buffer) {
  HISTEQ_RETURN_IF_ERROR(token_.Check());
  if (used_ < peeked_bytes_) {
    const size_t count = std::min(buffer.size(), peeked_bytes_ - used_);
    std::memcpy(buffer.data(), peeked_.get() + used_, count);
    used_ += count;
    if (used_ == peeked_bytes_) {
      peeked_.reset();
      peeked_bytes_ = used_ = 0;
    }
    return count;
  }
  if (ended_) return 0;
  return rest_.Read(buffer);
}

}  // namespace histeq::engine
