#include "page_token.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>

#include "base/error.h"
#include "store/sha256.h"

namespace histeq::store {
namespace {

constexpr size_t kNumberDigits = 16;
constexpr size_t kCheckDigits = 16;

}  // namespace

std::string MakePageToken(const std::string& key, const std::string& list, int64_t seq) {
  const std::string number = fmt::format("{:016x}", static_cast<uint64_t>(seq));
  const std::string checked = key + number + list;
  const Sha256Digest digest =
      Sha256Of({reinterpret_cast<const uint8_t*>(checked.data()), checked.size()});
  return number + ToHex(digest).substr(0, kCheckDigits);
}

absl::StatusOr<int64_t> ReadPageToken(const std::string& key, const std::string& list,
                                      const std::string& token) {
  if (token.size() == kNumberDigits + kCheckDigits) {
    const std::string number = token.substr(0, kNumberDigits);
    const auto seq = static_cast<int64_t>(std::strtoull(number.c_str(), nullptr, 16));
    if (MakePageToken(key, list, seq) == token) return seq;
  }
  base::ErrorDetail detail;
  detail.reason = "BAD_PAGE_TOKEN";
  detail.field = "page_token";
  return base::MakeError(absl::StatusCode::kInvalidArgument,
                         "the page token is not one that this server gave for this list: begin "
                         "again without a token",
                         detail);
}

}  // namespace histeq::store
