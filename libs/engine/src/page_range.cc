#include "page_range.h"

#include <sys/mman.h>
#include <unistd.h>

#include <memory>
#include <new>

namespace histeq::engine {
namespace {

// Of x86-64 and of AArch64 with pages of 4 KiB.
constexpr uint64_t kLargePage = 2 << 20;

uint64_t RoundTo(uint64_t bytes, uint64_t multiple) {
  return (bytes + multiple - 1) / multiple * multiple;
}

}  // namespace

uint64_t PageRange::RoundUp(uint64_t bytes) {
  static const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return RoundTo(bytes, page);
}

PageRange PageRange::Reserve(uint64_t bytes) {
  PageRange range;
  if (bytes == 0) return range;
  const uint64_t size = RoundUp(bytes);
  const uint64_t mapped_size = size + kLargePage;
  void* mapped = mmap(nullptr, mapped_size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return range;
  range.mapped_ = mapped;
  range.mapped_size_ = mapped_size;
  const uint64_t address = reinterpret_cast<uintptr_t>(mapped);
  range.data_ = static_cast<uint8_t*>(mapped) + (RoundTo(address, kLargePage) - address);
  range.size_ = size;
  // A fault for each small page would cost a quarter of the decoding.
  madvise(range.data_, range.size_, MADV_HUGEPAGE);
  return range;
}

PageRange PageRange::FromHeap(uint64_t bytes) {
  PageRange range;
  if (bytes == 0) return range;
  const uint64_t page = RoundUp(1);
  const uint64_t size = RoundUp(bytes);
  range.heap_.reset(new (std::nothrow) uint8_t[size + page]);
  if (range.heap_ == nullptr) return range;
  const uint64_t address = reinterpret_cast<uintptr_t>(range.heap_.get());
  range.data_ = range.heap_.get() + (RoundTo(address, page) - address);
  range.size_ = size;
  return range;
}

PageRange::~PageRange() {
  if (mapped_ != nullptr) munmap(mapped_, mapped_size_);
}

void PageRange::Discard(uint64_t offset, uint64_t bytes) const {
  if (heap_ == nullptr) madvise(data_ + offset, RoundUp(bytes), MADV_DONTNEED);
}

}  // namespace histeq::engine
