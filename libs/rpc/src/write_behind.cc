#include "rpc/write_behind.h"

#include <utility>

namespace histeq::rpc {
namespace {

std::span<const uint8_t> BytesOf(const std::string& piece) {
  return {reinterpret_cast<const uint8_t*>(piece.data()), piece.size()};
}

}  // namespace

WriteBehind::~WriteBehind() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

absl::Status WriteBehind::Push(std::string& piece) {
  if (!thread_.joinable()) {
    // A thread costs more than it gains for a stream that ends soon.
    if (inline_bytes_ < kInlineBytes) {
      inline_bytes_ += piece.size();
      if (status_.ok()) status_ = write_(BytesOf(piece));
      return status_;
    }
    thread_ = std::thread([this] { Run(); });
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !status_.ok() || waiting_.size() < kMaxPieces; });
  if (!status_.ok()) return status_;
  std::string next;
  if (!spare_.empty()) {
    next = std::move(spare_.front());
    spare_.pop_front();
  }
  waiting_.push_back(std::exchange(piece, std::move(next)));
  lock.unlock();
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status WriteBehind::Flush() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !status_.ok() ? !writing_ : waiting_.empty() && !writing_; });
  return status_;
}

void WriteBehind::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || (status_.ok() && !waiting_.empty()); });
    if (ending_) return;
    std::string piece = std::move(waiting_.front());
    waiting_.pop_front();
    writing_ = true;
    lock.unlock();
    absl::Status status = write_(BytesOf(piece));
    lock.lock();
    writing_ = false;
    if (status_.ok()) status_ = std::move(status);
    spare_.push_back(std::move(piece));
    changed_.notify_all();
  }
}

}  // namespace histeq::rpc
