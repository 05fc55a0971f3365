#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

#include "base/error.h"

namespace histeq::engine {

inline absl::Status OutOfMemory(const std::string& what, uint64_t bytes) {
  return base::MakeError(
      absl::StatusCode::kResourceExhausted, fmt::format("no memory for {}: {} bytes", what, bytes),
      {.reason = "OUT_OF_MEMORY", .metadata = {{"needed", std::to_string(bytes)}}});
}

}  // namespace histeq::engine
