#include "histeq/buffer.h"

#include <cstdint>
#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace histeq::internal {
namespace {

// A grid of 16-bit histograms takes tens of megabytes that are touched once: as small pages, most
// of the time would go into getting them from the kernel.
void PreferHugePages([[maybe_unused]] void* memory, [[maybe_unused]] size_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t kHugePage = uintptr_t{2} << 20;
  if (memory == nullptr || bytes < 2 * kHugePage) return;
  const auto begin = (reinterpret_cast<uintptr_t>(memory) + kHugePage - 1) & ~(kHugePage - 1);
  const auto end = (reinterpret_cast<uintptr_t>(memory) + bytes) & ~(kHugePage - 1);
  // Advice: a refusal changes nothing.
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace

void* AllocateZeros(size_t count, size_t element_bytes) {
  void* memory = std::calloc(count, element_bytes);
  if (memory != nullptr) PreferHugePages(memory, count * element_bytes);
  return memory;
}

void* Allocate(size_t count, size_t element_bytes) {
  if (count > SIZE_MAX / element_bytes) return nullptr;
  void* memory = std::malloc(count * element_bytes);
  PreferHugePages(memory, count * element_bytes);
  return memory;
}

}  // namespace histeq::internal
