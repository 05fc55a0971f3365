#pragma once

// What names, ids and addresses in requests may look like.

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "store/sha256.h"

namespace histeq::frontend {

// `field` is the request's field at fault, in proto notation. All errors are INVALID_ARGUMENT.

// 1 to 255 bytes of UTF-8 without slashes, backslashes and control characters; not "." or "..".
// BAD_NAME.
absl::Status CheckImageName(const std::string& name, const std::string& field);

// 1 to 128 characters of [0-9A-Za-z._-]. BAD_ID.
absl::Status CheckId(const std::string& id, const std::string& field);

// 1 to 64 characters of [0-9A-Za-z._-]. BAD_NAME.
absl::Status CheckCoordinatorName(const std::string& name, const std::string& field);

// HOST:PORT, [IPV6]:PORT or unix:PATH, at most 255 bytes. BAD_ADDRESS.
absl::Status CheckAddress(const std::string& address, const std::string& field);

// A SHA-256 of 32 bytes, or nothing when `bytes` is empty. BAD_CHECKSUM.
absl::StatusOr<std::optional<store::Sha256Digest>> ReadSha256(const std::string& bytes,
                                                              const std::string& field);

// `text` cut to at most `max_bytes`, between UTF-8 characters.
std::string CutText(const std::string& text, size_t max_bytes);

}  // namespace histeq::frontend
