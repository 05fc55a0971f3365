#include "api/random_id.h"

#include <cstdint>
#include <random>

#include "fmt/format.h"

namespace histeq::client {

std::string RandomId() {
  std::random_device device;
  const auto word = [&] { return static_cast<uint64_t>(device()) << 32 | device(); };
  // Version 4, variant 1, as RFC 4122 has it.
  const uint64_t high = (word() & ~0xF000ull) | 0x4000;
  const uint64_t low = (word() & ~(3ull << 62)) | 2ull << 62;
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, high >> 16 & 0xFFFF,
                     high & 0xFFFF, low >> 48, low & 0xFFFFFFFFFFFF);
}

}  // namespace histeq::client
