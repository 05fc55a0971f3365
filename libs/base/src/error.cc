#include "base/error.h"

#include <cstdint>
#include <utility>

#include "absl/strings/cord.h"

namespace histeq::base {
namespace {

constexpr char kTypeUrl[] = "histeq.internal/base.ErrorDetail";

// Length-prefixed strings: any byte may stand in a value, and this library knows no protobuf.
void Append(std::string& out, const std::string& value) {
  const auto size = static_cast<uint32_t>(value.size());
  for (int shift = 0; shift < 32; shift += 8)
    out.push_back(static_cast<char>((size >> shift) & 0xFF));
  out += value;
}

bool Take(const std::string& in, size_t& pos, std::string& value) {
  if (in.size() - pos < 4) return false;
  uint32_t size = 0;
  for (int i = 0; i < 4; ++i) {
    size |= static_cast<uint32_t>(static_cast<unsigned char>(in[pos + i])) << (8 * i);
  }
  pos += 4;
  if (in.size() - pos < size) return false;
  value = in.substr(pos, size);
  pos += size;
  return true;
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string message, ErrorDetail detail) {
  absl::Status status(code, message);
  std::string bytes;
  Append(bytes, detail.reason);
  Append(bytes, detail.field);
  Append(bytes, detail.retry_after.has_value()
                    ? std::to_string(absl::ToInt64Milliseconds(*detail.retry_after))
                    : std::string());
  for (const auto& [key, value] : detail.metadata) {
    Append(bytes, key);
    Append(bytes, value);
  }
  status.SetPayload(kTypeUrl, absl::Cord(std::move(bytes)));
  return status;
}

std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status) {
  const auto payload = status.GetPayload(kTypeUrl);
  if (!payload.has_value()) return std::nullopt;
  const std::string bytes(*payload);
  ErrorDetail detail;
  std::string retry_ms;
  size_t pos = 0;
  if (!Take(bytes, pos, detail.reason) || !Take(bytes, pos, detail.field) ||
      !Take(bytes, pos, retry_ms)) {
    return std::nullopt;
  }
  if (!retry_ms.empty()) detail.retry_after = absl::Milliseconds(std::stoll(retry_ms));
  std::string key;
  std::string value;
  while (Take(bytes, pos, key) && Take(bytes, pos, value)) detail.metadata[key] = value;
  return detail;
}

std::string ReasonOf(const absl::Status& status) {
  const auto detail = GetErrorDetail(status);
  return detail.has_value() ? detail->reason : std::string();
}

absl::Status Annotate(const absl::Status& status, const std::string& prefix) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), prefix + ": " + std::string(status.message()));
  status.ForEachPayload([&annotated](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

}  // namespace histeq::base
