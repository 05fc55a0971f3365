#pragma once

// What --json prints.

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace histeq::client {

// Protobuf's JSON form on one line, safe on a terminal.
std::string ToJson(const google::protobuf::Message& message);

// A JSON string with its quotes; bytes that are no UTF-8 become U+FFFD.
std::string JsonString(std::string_view text);

// {"code": "INVALID_ARGUMENT", "reason": "NOT_AN_IMAGE", "message": "…", "metadata": {…}}
std::string ToJson(const absl::Status& status);

}  // namespace histeq::client
