#include "byte_spool.h"

#include <algorithm>
#include <cstring>

#include "base/status_macros.h"

namespace histeq::engine {
namespace {

constexpr uint64_t kHeadBytes = 1 << 20;
// Each piece is as long as all before it, up to this.
constexpr uint64_t kLastPieceBytes = 64 << 20;

}  // namespace

class ByteSpool::Source final : public base::ByteSource {
 public:
  explicit Source(const ByteSpool& spool) : spool_(spool) {}
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    const std::span<const uint8_t> piece = spool_.PieceAt(offset_);
    const size_t count = std::min(piece.size(), buffer.size());
    if (count != 0) std::memcpy(buffer.data(), piece.data(), count);
    offset_ += count;
    return count;
  }

 private:
  const ByteSpool& spool_;
  uint64_t offset_ = 0;
};

absl::Status ByteSpool::Write(std::span<const uint8_t> bytes) {
  if (size_ < kHeadBytes) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(kHeadBytes - size_, bytes.size()));
    head_.insert(head_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
    size_ += count;
    capacity_ = kHeadBytes;
    bytes = bytes.subspan(count);
  }
  while (!bytes.empty()) {
    if (size_ == capacity_) {
      const uint64_t piece = std::min(capacity_, kLastPieceBytes);
      HISTEQ_ASSIGN_OR_RETURN(codec::Scratch scratch,
                              codec::Scratch::Create(piece, budget_, directory_));
      pieces_.push_back(std::move(scratch));
      capacity_ += piece;
    }
    codec::Scratch& last = pieces_.back();
    const uint64_t left = capacity_ - size_;
    const size_t count = static_cast<size_t>(std::min<uint64_t>(left, bytes.size()));
    std::memcpy(last.data() + (last.size() - left), bytes.data(), count);
    size_ += count;
    bytes = bytes.subspan(count);
  }
  return absl::OkStatus();
}

// What follows `offset` in its piece.
std::span<const uint8_t> ByteSpool::PieceAt(uint64_t offset) const {
  if (offset < head_.size()) return std::span(head_).subspan(offset);
  uint64_t begin = kHeadBytes;
  for (const codec::Scratch& piece : pieces_) {
    if (offset < begin + piece.size() && offset < size_) {
      const uint64_t end = std::min(size_, begin + piece.size());
      return {piece.data() + (offset - begin), static_cast<size_t>(end - offset)};
    }
    begin += piece.size();
  }
  return {};
}

std::unique_ptr<base::ByteSource> ByteSpool::Open() const {
  return std::make_unique<Source>(*this);
}

absl::Status ByteSpool::CopyTo(base::ByteSink& sink) const {
  for (uint64_t offset = 0; offset < size_;) {
    const std::span<const uint8_t> piece = PieceAt(offset);
    HISTEQ_RETURN_IF_ERROR(sink.Write(piece));
    offset += piece.size();
  }
  return absl::OkStatus();
}

}  // namespace histeq::engine
