#include "spool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/status_macros.h"
#include "codec/scratch_file.h"
#include "out_of_memory.h"

namespace histeq::engine {
namespace {

// An arena of this size is not given back piece by piece.
constexpr uint64_t kSmallArenaBytes = 2 << 20;

// 0, or the error.
int WriteAll(int fd, std::span<const uint8_t> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t done = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno;
    if (done == 0) return ENOSPC;
    bytes = bytes.subspan(static_cast<size_t>(done));
    offset += static_cast<uint64_t>(done);
  }
  return 0;
}

int ReadAll(int fd, std::span<uint8_t> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t done = pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno;
    if (done == 0) return EIO;
    bytes = bytes.subspan(static_cast<size_t>(done));
    offset += static_cast<uint64_t>(done);
  }
  return 0;
}

}  // namespace

Spool::Spool(uint32_t count, uint64_t segment_bytes, base::MemoryBudget* budget,
             std::string directory)
    : budget_(budget),
      directory_(std::move(directory)),
      segment_bytes_(PageRange::RoundUp(segment_bytes)),
      entries_(count) {
  if (budget_ == nullptr || budget_->limit_bytes() <= 0) return;
  const uint64_t bytes =
      std::min(count * segment_bytes_, static_cast<uint64_t>(budget_->limit_bytes()));
  arena_ = bytes <= kSmallArenaBytes ? PageRange::FromHeap(bytes) : PageRange::Reserve(bytes);
}

Spool::~Spool() {
  // Also what was never stored.
  for (const Entry& entry : entries_) {
    if (entry.in_memory) budget_->Give(static_cast<int64_t>(PageRange::RoundUp(entry.bytes)));
  }
  if (fd_ >= 0) close(fd_);
}

std::span<uint8_t> Spool::InArena(const Entry& entry) const {
  return {arena_.data() + entry.offset, entry.bytes};
}

bool Spool::TakeMemory(uint64_t bytes) {
  const uint64_t rounded = PageRange::RoundUp(bytes);
  return rounded <= arena_.size() - arena_used_ && budget_->TryTake(static_cast<int64_t>(rounded));
}

absl::StatusOr<std::span<uint8_t>> Spool::Allocate(uint32_t index, uint64_t bytes) {
  Entry& entry = entries_[index];
  entry.bytes = bytes;
  entry.in_memory = TakeMemory(bytes);
  if (entry.in_memory) {
    entry.offset = arena_used_;
    arena_used_ += PageRange::RoundUp(bytes);
    return InArena(entry);
  }
  if (staging_.size() == 0) staging_ = PageRange::Reserve(segment_bytes_);
  if (staging_.size() == 0) return OutOfMemory("a segment", segment_bytes_);
  return std::span<uint8_t>(staging_.data(), bytes);
}

absl::Status Spool::Store(uint32_t index) {
  Entry& entry = entries_[index];
  if (!entry.in_memory) {
    HISTEQ_RETURN_IF_ERROR(OpenFile());
    if (const int error = WriteAll(fd_, {staging_.data(), entry.bytes}, file_bytes_); error != 0)
      return codec::ScratchError(
          fmt::format("{} bytes of decoded samples, after {} bytes, cannot be written to a "
                      "temporary file",
                      entry.bytes, file_bytes_),
          directory_, entry.bytes, error);
  }
  std::lock_guard lock(mutex_);
  if (entry.in_memory) {
    memory_bytes_ += entry.bytes;
  } else {
    entry.offset = file_bytes_;
    file_bytes_ += entry.bytes;
  }
  entry.stored = true;
  return absl::OkStatus();
}

void Spool::Seal() { staging_ = PageRange(); }

absl::Status Spool::Read(uint32_t index, uint64_t offset, std::span<uint8_t> out) const {
  Entry entry;
  {
    std::lock_guard lock(mutex_);
    entry = entries_[index];
  }
  if (entry.stored && (offset > entry.bytes || out.size() > entry.bytes - offset))
    return absl::OutOfRangeError(
        fmt::format("{} bytes at {} of a segment of {}", out.size(), offset, entry.bytes));
  if (entry.stored && entry.in_memory && !out.empty()) {
    std::memcpy(out.data(), arena_.data() + entry.offset + offset, out.size());
  } else if (entry.stored && !entry.in_memory) {
    if (const int error = ReadAll(fd_, out, entry.offset + offset); error != 0)
      return codec::ScratchError("decoded samples cannot be read from a temporary file", directory_,
                                 0, error);
  }
  // Also when it was released meanwhile: its bytes are zeros then.
  std::lock_guard lock(mutex_);
  if (!entries_[index].stored)
    return absl::FailedPreconditionError(
        fmt::format("segment {} is read when it is not in the spool", index));
  return absl::OkStatus();
}

std::span<uint8_t> Spool::InPlace(uint32_t index) const {
  std::lock_guard lock(mutex_);
  const Entry& entry = entries_[index];
  if (!entry.stored || !entry.in_memory) return {};
  return InArena(entry);
}

void Spool::Release(uint32_t index) {
  Entry entry;
  {
    std::lock_guard lock(mutex_);
    entry = entries_[index];
    if (!entry.stored) return;
    entries_[index].stored = false;
    entries_[index].in_memory = false;
    if (entry.in_memory) memory_bytes_ -= entry.bytes;
  }
  if (entry.in_memory) {
    arena_.Discard(entry.offset, entry.bytes);
    budget_->Give(static_cast<int64_t>(PageRange::RoundUp(entry.bytes)));
    return;
  }
  // Where the file system cannot, the disk is held until the job ends.
  (void)fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(entry.offset),
                  static_cast<off_t>(entry.bytes));
}

uint64_t Spool::memory_bytes() const {
  std::lock_guard lock(mutex_);
  return memory_bytes_;
}

uint64_t Spool::file_bytes() const {
  std::lock_guard lock(mutex_);
  return file_bytes_;
}

absl::Status Spool::OpenFile() {
  if (fd_ >= 0) return absl::OkStatus();
  HISTEQ_ASSIGN_OR_RETURN(fd_, codec::OpenScratchFile(directory_));
  return absl::OkStatus();
}

}  // namespace histeq::engine
