#include "png_chunk.h"

#include <fmt/format.h>
#include <isa-l/crc.h>

namespace histeq::codec {

std::string ChunkName(uint32_t type) {
  std::string name;
  for (int shift = 24; shift >= 0; shift -= 8) {
    const auto byte = static_cast<uint8_t>(type >> shift);
    if (byte >= 0x20 && byte < 0x7F)
      name.push_back(static_cast<char>(byte));
    else
      name += fmt::format("\\x{:02X}", byte);
  }
  return name;
}

uint32_t ReadBigEndian32(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

void AppendBigEndian32(std::vector<uint8_t>& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<uint8_t>(value >> shift));
}

uint32_t ChunkCrc(uint32_t crc, std::span<const uint8_t> bytes) {
  return crc32_gzip_refl(crc, bytes.data(), bytes.size());
}

void AppendChunk(std::vector<uint8_t>& out, uint32_t type, std::span<const uint8_t> data) {
  AppendBigEndian32(out, static_cast<uint32_t>(data.size()));
  const size_t from = out.size();
  AppendBigEndian32(out, type);
  out.insert(out.end(), data.begin(), data.end());
  AppendBigEndian32(out, ChunkCrc(0, std::span(out).subspan(from)));
}

}  // namespace histeq::codec
