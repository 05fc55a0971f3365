#pragma once

// What is done with received bytes, done while the next ones are received.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <thread>

#include "absl/status/status.h"

namespace histeq::rpc {

// Passes pieces of a stream to a function, in order, on a thread of its own once the stream has
// shown to be more than a few pieces long, and on the caller's before. One thread at a time.
class WriteBehind {
 public:
  using Write = std::function<absl::Status(std::span<const uint8_t> bytes)>;

  // `write` is never called by two threads at once. Whatever it uses outlives this object.
  explicit WriteBehind(Write write) : write_(std::move(write)) {}
  // Does not write what still waits: Flush() before.
  ~WriteBehind();
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;

  // Takes the piece, and leaves another string in its place for the caller to fill. Waits while
  // kMaxPieces wait. The first error of `write`, which is not called again after one.
  absl::Status Push(std::string& piece);

  // Waits until all is written. The first error of `write`.
  absl::Status Flush();

  // Bytes that pass on the caller's thread, and pieces that wait at most for the other.
  static constexpr uint64_t kInlineBytes = 1 << 20;
  static constexpr size_t kMaxPieces = 4;

 private:
  void Run();

  const Write write_;
  uint64_t inline_bytes_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Below: guarded by mutex_.
  std::deque<std::string> waiting_;
  // Buffers to be filled again, so that they are not allocated for each piece.
  std::deque<std::string> spare_;
  bool writing_ = false;
  bool ending_ = false;
  absl::Status status_;
  std::thread thread_;
};

}  // namespace histeq::rpc
