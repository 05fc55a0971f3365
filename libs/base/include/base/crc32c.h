#pragma once

// CRC-32C (Castagnoli, as in RFC 3720), the checksum of chunks.

#include <cstdint>
#include <span>

namespace histeq::base {

// The CRC-32C of the bytes of `crc` (0 for none) followed by `bytes`.
uint32_t Crc32c(uint32_t crc, std::span<const uint8_t> bytes);

// The CRC-32C of `bytes`.
inline uint32_t Crc32c(std::span<const uint8_t> bytes) { return Crc32c(0, bytes); }

}  // namespace histeq::base
