#include "request_checks.h"

#include <algorithm>
#include <cstdint>

#include "base/error.h"
#include "fmt/format.h"

namespace histeq::frontend {
namespace {

constexpr size_t kMaxNameBytes = 255;
constexpr size_t kMaxIdBytes = 128;
constexpr size_t kMaxCoordinatorNameBytes = 64;
constexpr size_t kMaxAddressBytes = 255;

absl::Status Bad(const std::string& reason, const std::string& field, const std::string& message,
                 size_t limit, size_t actual) {
  return base::MakeError(
      absl::StatusCode::kInvalidArgument, message,
      {.reason = reason,
       .metadata = {{"limit", std::to_string(limit)}, {"actual", std::to_string(actual)}},
       .field = field});
}

bool IsWordCharacter(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' ||
         c == '_' || c == '-';
}

bool IsWord(const std::string& text, size_t max_bytes) {
  return !text.empty() && text.size() <= max_bytes &&
         std::all_of(text.begin(), text.end(), IsWordCharacter);
}

// The code point at `at`, which moves behind it; nothing when it is not UTF-8.
std::optional<uint32_t> NextCodePoint(const std::string& text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(at);
  size_t more = 0;
  uint32_t value = first;
  uint32_t smallest = 0;
  if (first >= 0xF0 && first <= 0xF4) {
    more = 3;
    value = first & 0x07;
    smallest = 0x10000;
  } else if (first >= 0xE0 && first < 0xF0) {
    more = 2;
    value = first & 0x0F;
    smallest = 0x800;
  } else if (first >= 0xC2 && first < 0xE0) {
    more = 1;
    value = first & 0x1F;
    smallest = 0x80;
  } else if (first >= 0x80) {
    return std::nullopt;
  }
  if (text.size() - at <= more) return std::nullopt;
  for (size_t i = 1; i <= more; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return std::nullopt;
    value = (value << 6) | (byte(at + i) & 0x3F);
  }
  if (value < smallest || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
    return std::nullopt;
  }
  at += more + 1;
  return value;
}

bool IsPort(const std::string& text) {
  if (text.empty() || text.size() > 5) return false;
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return false;
  }
  const int port = std::stoi(text);
  return port >= 1 && port <= 65535;
}

bool IsHost(const std::string& text) {
  if (text.size() > 2 && text.front() == '[' && text.back() == ']') {
    return std::all_of(text.begin() + 1, text.end() - 1, [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
             c == ':' || c == '.' || c == '%';
    });
  }
  return IsWord(text, kMaxAddressBytes);
}

bool IsAddress(const std::string& text) {
  if (text.empty() || text.size() > kMaxAddressBytes) return false;
  if (text.rfind("unix:", 0) == 0) {
    return text.size() > 5 && std::all_of(text.begin(), text.end(), [](char c) {
             return static_cast<uint8_t>(c) > 0x20 && c != 0x7F;
           });
  }
  const size_t colon = text.rfind(':');
  return colon != std::string::npos && IsHost(text.substr(0, colon)) &&
         IsPort(text.substr(colon + 1));
}

}  // namespace

absl::Status CheckImageName(const std::string& name, const std::string& field) {
  const auto bad = [&](const std::string& what) {
    return Bad("BAD_NAME", field, "an image's name " + what, kMaxNameBytes, name.size());
  };
  if (name.empty() || name.size() > kMaxNameBytes) {
    return bad(fmt::format("has 1 to {} bytes, this one {}", kMaxNameBytes, name.size()));
  }
  if (name == "." || name == "..") return bad("cannot be \".\" or \"..\"");
  for (size_t at = 0; at < name.size();) {
    const std::optional<uint32_t> code = NextCodePoint(name, at);
    if (!code.has_value()) return bad("is UTF-8; this one is not");
    if (*code == '/' || *code == '\\') return bad("has no slashes or backslashes");
    if (*code < 0x20 || (*code >= 0x7F && *code < 0xA0)) return bad("has no control characters");
  }
  return absl::OkStatus();
}

absl::Status CheckId(const std::string& id, const std::string& field) {
  if (IsWord(id, kMaxIdBytes)) return absl::OkStatus();
  return Bad("BAD_ID", field,
             fmt::format("{} has 1 to {} characters of [0-9A-Za-z._-]", field, kMaxIdBytes),
             kMaxIdBytes, id.size());
}

absl::Status CheckCoordinatorName(const std::string& name, const std::string& field) {
  if (IsWord(name, kMaxCoordinatorNameBytes)) return absl::OkStatus();
  return Bad("BAD_NAME", field,
             fmt::format("a coordinator's name has 1 to {} characters of [0-9A-Za-z._-]",
                         kMaxCoordinatorNameBytes),
             kMaxCoordinatorNameBytes, name.size());
}

absl::Status CheckAddress(const std::string& address, const std::string& field) {
  if (IsAddress(address)) return absl::OkStatus();
  return Bad(
      "BAD_ADDRESS", field,
      fmt::format("an address is HOST:PORT or unix:PATH, at most {} bytes", kMaxAddressBytes),
      kMaxAddressBytes, address.size());
}

absl::StatusOr<std::optional<store::Sha256Digest>> ReadSha256(const std::string& bytes,
                                                              const std::string& field) {
  if (bytes.empty()) return std::optional<store::Sha256Digest>();
  std::optional<store::Sha256Digest> digest = store::DigestFromBytes(bytes);
  if (digest.has_value()) return digest;
  return Bad("BAD_CHECKSUM", field,
             fmt::format("a SHA-256 has 32 bytes, this one {}", bytes.size()), 32, bytes.size());
}

std::string CutText(const std::string& text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  size_t end = max_bytes;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace histeq::frontend
