#include "result_spool.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "base/status_macros.h"
#include "codec/scratch_file.h"

namespace histeq::coordinator {
namespace {

constexpr uint64_t kBlockBytes = 1 << 20;
}  // namespace

ResultSpool::ResultSpool(base::MemoryBudget& budget, std::string scratch_dir)
    : budget_(budget), scratch_dir_(std::move(scratch_dir)) {}

ResultSpool::~ResultSpool() {
  if (fd_ >= 0) close(fd_);
  budget_.Give(taken_bytes_);
}

absl::Status ResultSpool::OpenFile() {
  if (fd_ >= 0) return absl::OkStatus();
  HISTEQ_ASSIGN_OR_RETURN(const int fd, codec::OpenScratchFile(scratch_dir_));
  std::lock_guard lock(mutex_);
  fd_ = fd;
  return absl::OkStatus();
}

absl::Status ResultSpool::Write(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    // Only this thread writes, so these stand still.
    const uint64_t begin = size_ % kBlockBytes;
    const size_t length = std::min<uint64_t>(bytes.size(), kBlockBytes - begin);
    if (begin == 0) {
      Block block;
      if (budget_.TryTake(kBlockBytes)) {
        taken_bytes_ += kBlockBytes;
        block.memory = std::make_unique_for_overwrite<uint8_t[]>(kBlockBytes);
      } else {
        HISTEQ_RETURN_IF_ERROR(OpenFile());
      }
      std::lock_guard lock(mutex_);
      blocks_.push_back(std::move(block));
    }
    if (uint8_t* memory = blocks_.back().memory.get(); memory != nullptr) {
      std::memcpy(memory + begin, bytes.data(), length);
    } else {
      size_t done = 0;
      while (done < length) {
        const ssize_t written =
            pwrite(fd_, bytes.data() + done, length - done, static_cast<off_t>(size_ + done));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
          const int error = written < 0 ? errno : ENOSPC;
          return codec::ScratchError("the result cannot be written to a temporary file",
                                     scratch_dir_, length - done, error);
        }
        done += static_cast<size_t>(written);
      }
    }
    bytes = bytes.subspan(length);
    std::lock_guard lock(mutex_);
    size_ += length;
    changed_.notify_all();
  }
  return absl::OkStatus();
}

void ResultSpool::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

void ResultSpool::Abandon(absl::Status why) {
  std::lock_guard lock(mutex_);
  abandoned_ = std::move(why);
  changed_.notify_all();
}

absl::StatusOr<size_t> ResultSpool::ReadAt(uint64_t offset, std::span<uint8_t> buffer,
                                           const base::CancelToken& token) {
  const auto wake = token.OnCancel([this] {
    std::lock_guard lock(mutex_);
    changed_.notify_all();
  });
  uint64_t available;
  const uint8_t* memory;
  int fd;
  const uint64_t begin = offset % kBlockBytes;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(
        lock, [&] { return size_ > offset || closed_ || !abandoned_.ok() || token.cancelled(); });
    HISTEQ_RETURN_IF_ERROR(abandoned_);
    HISTEQ_RETURN_IF_ERROR(token.Check());
    if (offset >= size_) return 0;
    available = std::min(size_ - offset, kBlockBytes - begin);
    // A block's memory does not move and its written bytes do not change.
    memory = blocks_[offset / kBlockBytes].memory.get();
    fd = fd_;
  }
  const size_t length = std::min<uint64_t>(available, buffer.size());
  if (memory != nullptr) {
    std::memcpy(buffer.data(), memory + begin, length);
    return length;
  }
  while (true) {
    const ssize_t got = pread(fd, buffer.data(), length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return codec::ScratchError("the result cannot be read from a temporary file", scratch_dir_, 0,
                                 got < 0 ? errno : EIO);
    }
    return static_cast<size_t>(got);
  }
}

uint64_t ResultSpool::size() const {
  std::lock_guard lock(mutex_);
  return size_;
}

bool ResultSpool::closed() const {
  std::lock_guard lock(mutex_);
  return closed_;
}

}  // namespace histeq::coordinator
