#pragma once

#include <cstdint>
#include <memory>
#include <utility>

namespace histeq::engine {

// A run of memory that begins at a page: zeroed, anonymous, taking pages as they are touched, large
// ones where the system has them. Movable; empty after a move.
class PageRange {
 public:
  // Up to a whole number of pages.
  static uint64_t RoundUp(uint64_t bytes);
  // Empty when address space is short, or for 0 bytes.
  static PageRange Reserve(uint64_t bytes);
  // The same from the heap, of any content: for a small run that is taken again and again, whose
  // pages would cost more than what is done with them. Discard does nothing.
  static PageRange FromHeap(uint64_t bytes);

  PageRange() = default;
  PageRange(PageRange&& other) noexcept { *this = std::move(other); }
  PageRange& operator=(PageRange&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(mapped_, other.mapped_);
    std::swap(mapped_size_, other.mapped_size_);
    std::swap(heap_, other.heap_);
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
  // Or the memory of the heap, likewise.
  std::unique_ptr<uint8_t[]> heap_;
};

}  // namespace histeq::engine
