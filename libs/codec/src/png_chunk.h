#pragma once

// The chunks a PNG file is made of.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace histeq::codec {

inline constexpr std::array<uint8_t, 8> kPngSignature = {0x89, 'P',  'N',  'G',
                                                         '\r', '\n', 0x1A, '\n'};

// Length and type before the data, CRC after it.
inline constexpr size_t kChunkHeaderBytes = 8;
inline constexpr size_t kChunkCrcBytes = 4;
inline constexpr uint32_t kMaxChunkBytes = 0x7FFFFFFF;

// A chunk's type as a number, so that it can be compared and switched over.
constexpr uint32_t ChunkType(const char (&name)[5]) {
  uint32_t type = 0;
  for (int i = 0; i < 4; ++i) type = type << 8 | static_cast<uint8_t>(name[i]);
  return type;
}

// The four letters; other bytes as \xNN.
std::string ChunkName(uint32_t type);

uint32_t ReadBigEndian32(const uint8_t* bytes);
void AppendBigEndian32(std::vector<uint8_t>& out, uint32_t value);

// CRC-32 over a chunk's type and data, in pieces; 0 before the first.
uint32_t ChunkCrc(uint32_t crc, std::span<const uint8_t> bytes);

// Appends a whole chunk; `data` is at most kMaxChunkBytes long.
void AppendChunk(std::vector<uint8_t>& out, uint32_t type, std::span<const uint8_t> data);

}  // namespace histeq::codec
