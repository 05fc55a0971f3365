#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace histeq::base {

uint32_t Crc32c(uint32_t crc, std::span<const uint8_t> bytes) {
  // ISA-L takes lengths as int, does not write, and leaves the complements to the caller.
  constexpr size_t kMaxPiece = size_t{1} << 30;
  uint32_t state = ~crc;
  while (!bytes.empty()) {
    const size_t size = std::min(bytes.size(), kMaxPiece);
    state = crc32_iscsi(const_cast<uint8_t*>(bytes.data()), static_cast<int>(size), state);
    bytes = bytes.subspan(size);
  }
  return ~state;
}

}  // namespace histeq::base
