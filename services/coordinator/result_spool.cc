#include "result_spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace histeq::coordinator {
namespace {

constexpr uint64_t kBlockBytes = 1 << 20;

absl::Status FileError(const std::string& what, const std::string& folder, int error) {
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return base::MakeError(
      full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal,
      fmt::format("{} in the scratch folder {}: {}", what, folder, std::strerror(error)),
      {.reason = full ? "DISK_FULL" : "SCRATCH_FAILED",
       .metadata = {{"folder", folder}},
       .field = {},
       .retry_after = {}});
}

}  // namespace

ResultSpool::ResultSpool(base::MemoryBudget& budget, std::string scratch_dir)
    : budget_(budget), scratch_dir_(std::move(scratch_dir)) {}

ResultSpool::~ResultSpool() {
  if (fd_ >= 0) close(fd_);
  budget_.Give(taken_bytes_);
}

absl::Status ResultSpool::OpenFile() {
  if (fd_ >= 0) return absl::OkStatus();
  int fd = open(scratch_dir_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL)) {
    // Not every file system has O_TMPFILE.
    std::string name = scratch_dir_ + "/histeq-result-XXXXXX";
    fd = mkostemp(name.data(), O_CLOEXEC);
    if (fd >= 0) unlink(name.c_str());
  }
  if (fd < 0) return FileError("a temporary file cannot be created", scratch_dir_, errno);
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
          return FileError("the result cannot be written", scratch_dir_,
                           written < 0 ? errno : ENOSPC);
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
    if (got <= 0) return FileError("the result cannot be read back", scratch_dir_, errno);
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
