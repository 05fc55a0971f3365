#include "display/json.h"

#include "base/error.h"
#include "fmt/format.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"

namespace histeq::client {
namespace {

// Outside of ASCII, JSON stands in strings alone: there what a terminal obeys can be written out.
std::string Escaped(const std::string& json) {
  std::string out;
  out.reserve(json.size());
  for (size_t at = 0; at < json.size(); ++at) {
    const auto byte = [&](size_t i) {
      return at + i < json.size() ? static_cast<unsigned char>(json[at + i]) : 0u;
    };
    const bool c1 = byte(0) == 0xC2 && byte(1) >= 0x80 && byte(1) < 0xA0;
    const uint32_t third = (byte(0) & 0xF) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    const bool turns = byte(0) == 0xE2 && ((third >= 0x200E && third <= 0x200F) ||
                                           (third >= 0x2028 && third <= 0x202E) ||
                                           (third >= 0x2066 && third <= 0x2069));
    if (byte(0) == 0x7F) {
      out += "\\u007f";
    } else if (c1) {
      out += fmt::format("\\u{:04x}", byte(1));
      at += 1;
    } else if (turns) {
      out += fmt::format("\\u{:04x}", third);
      at += 2;
    } else {
      out += json[at];
    }
  }
  return out;
}

}  // namespace

std::string ToJson(const google::protobuf::Message& message) {
  std::string json;
  // Fails on Timestamps out of range alone, which no server of this contract sends.
  if (!google::protobuf::util::MessageToJsonString(message, &json).ok()) json = "{}";
  return Escaped(json);
}

std::string JsonString(std::string_view text) {
  std::string valid;
  for (size_t at = 0; at < text.size();) {
    const auto first = static_cast<unsigned char>(text[at]);
    size_t bytes = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC2 ? 2 : 0;
    for (size_t i = 1; i < bytes; ++i) {
      if (at + i >= text.size() || (static_cast<unsigned char>(text[at + i]) & 0xC0) != 0x80) {
        bytes = 0;
      }
    }
    valid += bytes == 0 ? "\xEF\xBF\xBD" : std::string(text.substr(at, bytes));
    at += bytes == 0 ? 1 : bytes;
  }
  google::protobuf::Value value;
  value.set_string_value(valid);
  return ToJson(value);
}

std::string ToJson(const absl::Status& status) {
  std::string json =
      fmt::format("{{\"code\":{}", JsonString(absl::StatusCodeToString(status.code())));
  const auto detail = base::GetErrorDetail(status);
  if (detail.has_value()) json += fmt::format(",\"reason\":{}", JsonString(detail->reason));
  json += fmt::format(",\"message\":{}", JsonString(std::string(status.message())));
  if (detail.has_value() && !detail->field.empty()) {
    json += fmt::format(",\"field\":{}", JsonString(detail->field));
  }
  if (detail.has_value() && !detail->metadata.empty()) {
    json += ",\"metadata\":{";
    bool first = true;
    for (const auto& [key, value] : detail->metadata) {
      json += fmt::format("{}{}:{}", first ? "" : ",", JsonString(key), JsonString(value));
      first = false;
    }
    json += "}";
  }
  return json + "}";
}

}  // namespace histeq::client
