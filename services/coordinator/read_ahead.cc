#include "read_ahead.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace histeq::coordinator {

ReadAhead::ReadAhead(base::ByteSource& source, uint64_t limit_bytes)
    : source_(source),
      limit_pieces_(static_cast<size_t>(std::max<uint64_t>(1, limit_bytes / kPieceBytes))),
      thread_([this] { Run(); }) {}

ReadAhead::~ReadAhead() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

absl::StatusOr<size_t> ReadAhead::Read(std::span<uint8_t> buffer) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !pieces_.empty() || ended_; });
  if (pieces_.empty()) {
    if (!status_.ok()) return status_;
    return 0;
  }
  std::vector<uint8_t>& piece = pieces_.front();
  const size_t length = std::min(buffer.size(), piece.size() - taken_);
  std::memcpy(buffer.data(), piece.data() + taken_, length);
  taken_ += length;
  if (taken_ == piece.size()) {
    spare_.push_back(std::move(piece));
    pieces_.pop_front();
    taken_ = 0;
    changed_.notify_all();
  }
  return length;
}

void ReadAhead::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return pieces_.size() < limit_pieces_ || stopping_; });
    if (stopping_) return;
    std::vector<uint8_t> piece;
    if (!spare_.empty()) {
      piece = std::move(spare_.back());
      spare_.pop_back();
    }
    lock.unlock();
    piece.resize(kPieceBytes);
    size_t filled = 0;
    absl::Status status;
    bool ended = false;
    // Filled up rather than handed on at once: the transport's pieces may be small.
    while (filled < kPieceBytes) {
      absl::StatusOr<size_t> got =
          source_.Read(std::span<uint8_t>(piece).subspan(filled, kPieceBytes - filled));
      if (!got.ok()) {
        status = got.status();
        ended = true;
        break;
      }
      if (*got == 0) {
        ended = true;
        break;
      }
      filled += *got;
    }
    piece.resize(filled);
    lock.lock();
    if (filled > 0) pieces_.push_back(std::move(piece));
    ended_ = ended;
    status_ = std::move(status);
    changed_.notify_all();
    if (ended) return;
  }
}

}  // namespace histeq::coordinator
