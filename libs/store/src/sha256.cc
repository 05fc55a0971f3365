#include "store/sha256.h"

#include <openssl/evp.h>

#include <algorithm>
#include <new>

namespace histeq::store {

struct Sha256::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  Context() {
    if (evp == nullptr) throw std::bad_alloc();
  }
  ~Context() { EVP_MD_CTX_free(evp); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
};

Sha256::Sha256() : context_(std::make_unique<Context>()) { Reset(); }
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::Update(std::span<const uint8_t> bytes) {
  EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size());
}

Sha256Digest Sha256::Digest() const {
  // A copy, since finishing ends a context.
  Context copy;
  EVP_MD_CTX_copy_ex(copy.evp, context_->evp);
  Sha256Digest digest{};
  EVP_DigestFinal_ex(copy.evp, digest.data(), nullptr);
  return digest;
}

void Sha256::Reset() { EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr); }

Sha256Digest Sha256Of(std::span<const uint8_t> bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Digest();
}

std::string ToHex(const Sha256Digest& digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * digest.size());
  for (const uint8_t byte : digest) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

std::optional<Sha256Digest> DigestFromBytes(const std::string& bytes) {
  Sha256Digest digest{};
  if (bytes.size() != digest.size()) return std::nullopt;
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

std::string ToBytes(const Sha256Digest& digest) { return {digest.begin(), digest.end()}; }

}  // namespace histeq::store
