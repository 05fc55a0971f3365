#pragma once

// SHA-256 of a stream of bytes.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace histeq::store {

using Sha256Digest = std::array<uint8_t, 32>;

// What the hash knows of whole blocks: enough to continue it later, elsewhere.
using Sha256Chain = std::array<uint32_t, 8>;

// Streaming hash. One thread at a time. A stream has less than 2^61 bytes.
class Sha256 {
 public:
  static constexpr uint64_t kBlockBytes = 64;

  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(std::span<const uint8_t> bytes);

  // The digest of all bytes so far. The stream may go on afterwards.
  Sha256Digest Digest() const;

  // After the last whole block so far.
  Sha256Chain Chain() const;
  // As after `bytes`, a multiple of kBlockBytes, that had `chain`.
  void Resume(const Sha256Chain& chain, uint64_t bytes);

  // Back to the empty stream.
  void Reset();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// The digest of `bytes` alone.
Sha256Digest Sha256Of(std::span<const uint8_t> bytes);

// 64 lower-case hexadecimal digits.
std::string ToHex(const Sha256Digest& digest);

// A digest from its 32 raw bytes, as it travels in messages; nothing when `bytes` has another size.
std::optional<Sha256Digest> DigestFromBytes(const std::string& bytes);

// The 32 raw bytes.
std::string ToBytes(const Sha256Digest& digest);

}  // namespace histeq::store
