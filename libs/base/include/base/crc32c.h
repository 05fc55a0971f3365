#pragma once

// CRC-32C (Castagnoli, as in RFC 3720), the checksum of chunks.

#include <cstdint>
#include <span>

namespace histeq::base {

// The CRC-32C of the bytes of `crc` (0 for none) followed by `bytes`. Uses the processor's
// instruction where there is one.
uint32_t Crc32c(uint32_t crc, std::span<const uint8_t> bytes);

// The CRC-32C of `bytes`.
inline uint32_t Crc32c(std::span<const uint8_t> bytes) { return Crc32c(0, bytes); }

// As Crc32c, by tables alone: for processors without the instruction, and to test it against.
uint32_t Crc32cPortable(uint32_t crc, std::span<const uint8_t> bytes);

}  // namespace histeq::base
