#include "store/location.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/error.h"
#include "base/hex.h"
#include "base/status_macros.h"

namespace histeq::store {
namespace {

absl::Status Bad(const std::string& message, const std::string& limit = {},
                 const std::string& actual = {}) {
  base::ErrorDetail detail;
  detail.reason = "BAD_LOCATION";
  detail.field = "location";
  if (!limit.empty()) detail.metadata = {{"limit", limit}, {"actual", actual}};
  return base::MakeError(absl::StatusCode::kInvalidArgument, message, std::move(detail));
}

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// What a path of a URI may hold as it is (RFC 3986), beside "/" and "%".
bool IsPathCharacter(char c) {
  return IsAlphanumeric(c) || std::string("-._~!$&'()*+,;=:@").find(c) != std::string::npos;
}

std::string Quoted(char c) {
  return c > 0x20 && c < 0x7F ? fmt::format("\"{}\"", c)
                              : fmt::format("the byte 0x{:02X}", static_cast<uint8_t>(c));
}

absl::StatusOr<std::string> DecodePart(const std::string& text) {
  std::string part;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '?' || c == '#') {
      return Bad(fmt::format("a location has no query and no fragment: write {} as %{:02X}",
                             Quoted(c), static_cast<uint8_t>(c)));
    }
    if (c == '%') {
      const int high = i + 1 < text.size() ? base::HexDigitValue(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? base::HexDigitValue(text[i + 2]) : -1;
      if (high < 0 || low < 0) return Bad("in a location % is followed by two hexadecimal digits");
      c = static_cast<char>(high * 16 + low);
      i += 2;
      if (c == 0 || c == '/') {
        return Bad(fmt::format("{} cannot be part of a file's name", Quoted(c)));
      }
    } else if (!IsPathCharacter(c)) {
      return Bad(fmt::format("{} does not stand in a location as it is: write it as %{:02X}",
                             Quoted(c), static_cast<uint8_t>(c)));
    }
    part.push_back(c);
  }
  if (part.empty()) return Bad("a location's path has an empty part (// or a / at its end)");
  if (part == "." || part == "..") return Bad("a location's path has no part \".\" or \"..\"");
  if (part.size() > kMaxPathPartBytes) {
    return Bad(
        fmt::format("a part of the location's path has {} bytes; a file's name has at most {}",
                    part.size(), kMaxPathPartBytes),
        std::to_string(kMaxPathPartBytes), std::to_string(part.size()));
  }
  return part;
}

// `text` without the slash before it.
absl::StatusOr<std::string> DecodePath(const std::string& text) {
  std::string path;
  size_t begin = 0;
  while (true) {
    const size_t end = text.find('/', begin);
    HISTEQ_ASSIGN_OR_RETURN(const std::string part, DecodePart(text.substr(begin, end - begin)));
    if (!path.empty()) path.push_back('/');
    path += part;
    if (end == std::string::npos) return path;
    begin = end + 1;
  }
}

std::string EncodePath(const std::string& path) {
  std::string text;
  for (const char c : path) {
    if (c == '/' || IsPathCharacter(c)) {
      text.push_back(c);
    } else {
      text += fmt::format("%{:02X}", static_cast<uint8_t>(c));
    }
  }
  return text;
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

}  // namespace

absl::StatusOr<Location> ParseLocation(const std::string& uri) {
  if (uri.size() > kMaxLocationBytes) {
    return Bad(
        fmt::format("a location has at most {} bytes, this one {}", kMaxLocationBytes, uri.size()),
        std::to_string(kMaxLocationBytes), std::to_string(uri.size()));
  }
  const size_t scheme_end = uri.find("://");
  const std::string scheme = Lower(uri.substr(0, scheme_end));
  if (scheme_end == std::string::npos || (scheme != "file" && scheme != "node")) {
    return Bad("a location is file:///PATH or node://NAME/PATH");
  }
  const size_t host_begin = scheme_end + 3;
  const size_t path_begin = uri.find('/', host_begin);
  const std::string host = uri.substr(host_begin, path_begin - host_begin);
  if (path_begin == std::string::npos || path_begin + 1 == uri.size()) {
    return Bad(fmt::format("a location has a path: {}://{}/PATH", scheme, host));
  }
  Location location;
  if (scheme == "file") {
    if (!host.empty() && Lower(host) != "localhost") {
      return Bad("a file location names no host: write file:///PATH (three slashes)");
    }
    location.kind = Location::Kind::kFile;
  } else {
    if (!IsStorageName(host)) {
      return Bad(fmt::format("the name of a storage root has 1 to {} characters of [0-9A-Za-z._-], "
                             "the first a letter or digit",
                             kMaxStorageNameBytes),
                 std::to_string(kMaxStorageNameBytes), std::to_string(host.size()));
    }
    location.kind = Location::Kind::kNode;
    location.node = host;
  }
  HISTEQ_ASSIGN_OR_RETURN(const std::string path, DecodePath(uri.substr(path_begin + 1)));
  if (location.kind == Location::Kind::kFile) location.path.push_back('/');
  location.path += path;
  return location;
}

std::string FormatLocation(const Location& location) {
  switch (location.kind) {
    case Location::Kind::kFile:
      return "file://" + EncodePath(location.path);
    case Location::Kind::kNode:
      return "node://" + location.node + "/" + EncodePath(location.path);
    case Location::Kind::kBlob:
      break;
  }
  return "blob:" + location.path;
}

std::string FileNameOf(const Location& location) {
  return location.path.substr(location.path.rfind('/') + 1);
}

bool IsStorageName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxStorageNameBytes && IsAlphanumeric(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

}  // namespace histeq::store
