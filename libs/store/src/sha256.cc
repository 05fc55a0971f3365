#include "store/sha256.h"

// The interface that replaces it hides the state that a partial blob is continued from.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <algorithm>

#include "base/hex.h"

namespace histeq::store {

struct Sha256::Context {
  SHA256_CTX sha{};
};

Sha256::Sha256() : context_(std::make_unique<Context>()) { Reset(); }
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::Update(std::span<const uint8_t> bytes) {
  SHA256_Update(&context_->sha, bytes.data(), bytes.size());
}

Sha256Digest Sha256::Digest() const {
  // A copy, since finishing ends a context.
  SHA256_CTX copy = context_->sha;
  Sha256Digest digest{};
  SHA256_Final(digest.data(), &copy);
  return digest;
}

Sha256Chain Sha256::Chain() const {
  Sha256Chain chain{};
  std::copy_n(context_->sha.h, chain.size(), chain.begin());
  return chain;
}

void Sha256::Resume(const Sha256Chain& chain, uint64_t bytes) {
  Reset();
  std::copy(chain.begin(), chain.end(), context_->sha.h);
  // The length so far, in bits.
  context_->sha.Nl = static_cast<uint32_t>(bytes << 3);
  context_->sha.Nh = static_cast<uint32_t>(bytes >> 29);
}

void Sha256::Reset() { SHA256_Init(&context_->sha); }

Sha256Digest Sha256Of(std::span<const uint8_t> bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Digest();
}

std::string ToHex(const Sha256Digest& digest) { return base::ToHex(ToBytes(digest)); }

std::optional<Sha256Digest> DigestFromBytes(const std::string& bytes) {
  Sha256Digest digest{};
  if (bytes.size() != digest.size()) return std::nullopt;
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

std::string ToBytes(const Sha256Digest& digest) { return {digest.begin(), digest.end()}; }

}  // namespace histeq::store
