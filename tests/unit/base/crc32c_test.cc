#include "base/crc32c.h"

#include <catch2/catch.hpp>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace histeq::base {
namespace {

// Bit by bit, from the definition: reflected polynomial 0x1EDC6F41.
uint32_t SlowCrc32c(uint32_t crc, std::span<const uint8_t> bytes) {
  uint32_t state = ~crc;
  for (const uint8_t byte : bytes) {
    state ^= byte;
    for (int bit = 0; bit < 8; ++bit)
      state = (state >> 1) ^ ((state & 1) != 0 ? uint32_t{0x82F63B78} : 0);
  }
  return ~state;
}

std::vector<uint8_t> Bytes(const std::string& text) { return {text.begin(), text.end()}; }

TEST_CASE("CRC-32C gives the known answers") {
  std::vector<uint8_t> rising(32);
  std::iota(rising.begin(), rising.end(), uint8_t{0});
  const std::vector<uint8_t> falling(rising.rbegin(), rising.rend());
  // From RFC 3720, B.4, and the catalogue of CRC algorithms ("123456789").
  const std::vector<std::pair<std::vector<uint8_t>, uint32_t>> known = {
      {{}, 0},
      {std::vector<uint8_t>(32, 0x00), 0x8A9136AA},
      {std::vector<uint8_t>(32, 0xFF), 0x62A8AB43},
      {rising, 0x46DD794E},
      {falling, 0x113FDB5C},
      {Bytes("123456789"), 0xE3069283},
  };
  for (const auto& [bytes, crc] : known) {
    CHECK(Crc32c(bytes) == crc);
    CHECK(SlowCrc32c(0, bytes) == crc);
  }
}

TEST_CASE("CRC-32C equals its definition at every size and alignment, whole or in parts") {
  std::mt19937 random(7);
  std::vector<uint8_t> bytes(700);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  for (size_t start = 0; start < 9; ++start) {
    for (size_t size = 0; start + size <= bytes.size(); ++size) {
      const std::span<const uint8_t> part(bytes.data() + start, size);
      const uint32_t crc = SlowCrc32c(0, part);
      REQUIRE(Crc32c(part) == crc);
      const size_t cut = size / 3;
      REQUIRE(Crc32c(Crc32c(part.first(cut)), part.subspan(cut)) == crc);
    }
  }
}

}  // namespace
}  // namespace histeq::base
