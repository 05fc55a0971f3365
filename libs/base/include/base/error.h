#pragma once

// Errors that a user can act on: a status code, a message, and the machine-readable detail that
// travels with it.

#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace histeq::base {

// What libs/rpc turns into google.rpc.ErrorInfo, RetryInfo and BadRequest.
struct ErrorDetail {
  // UPPER_SNAKE_CASE, stable, for programs: "IMAGE_TOO_LARGE". See docs/errors.md for the list.
  std::string reason = {};
  // Facts of this occurrence, for example {"limit", "1000000000"}, {"actual", "4294967296"}.
  std::map<std::string, std::string> metadata = {};
  // The request field at fault, in proto notation ("operation.equalize.clip_limit"); empty when
  // none.
  std::string field = {};
  // How long the caller should wait before it tries again; absent when a retry does not help.
  std::optional<absl::Duration> retry_after = {};
};

// Returns a status of `code` (not kOk) with `message` and `detail` attached as a payload.
// `message` says what was wrong, the limit and the actual value, in words.
absl::Status MakeError(absl::StatusCode code, std::string message, ErrorDetail detail);

// The detail that MakeError attached, or nothing. Survives copies of the status.
std::optional<ErrorDetail> GetErrorDetail(const absl::Status& status);

// The reason of that detail; empty when there is none.
std::string ReasonOf(const absl::Status& status);

// The same status with `prefix` and ": " before its message; code and payloads stay. OK stays OK.
absl::Status Annotate(const absl::Status& status, const std::string& prefix);

}  // namespace histeq::base
