#pragma once

#include <cstdint>
#include <utility>

namespace histeq::engine {

// A run of zeroed anonymous memory that takes pages as they are touched, large ones where the
// system has them. Movable; empty after a move.
class PageRange {
 public:
  // Up to a whole number of pages.
  static uint64_t RoundUp(uint64_t bytes);
  // Empty when address space is short, or for 0 bytes.
  static PageRange Reserve(uint64_t bytes);

  PageRange() = default;
  PageRange(PageRange&& other) noexcept { *this = std::move(other); }
  PageRange& operator=(PageRange&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(mapped_, other.mapped_);
    std::swap(mapped_size_, other.mapped_size_);
    return *this;
  }
  ~PageRange();

  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }

  // Gives pages back: those of [offset, offset + bytes), which begins at a page; they read as zeros
  // afterwards.
  void Discard(uint64_t offset, uint64_t bytes) const;

 private:
  uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
  // The mapping that data_ lies in, aligned, with room for the alignment.
  void* mapped_ = nullptr;
  uint64_t mapped_size_ = 0;
};

}  // namespace histeq::engine
