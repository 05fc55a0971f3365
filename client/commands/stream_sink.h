#pragma once

#include <ostream>

#include "base/byte_stream.h"
#include "base/error.h"

namespace histeq::client {

// The standard output as a sink. The stream outlives it.
class StreamSink final : public base::ByteSink {
 public:
  explicit StreamSink(std::ostream& out) : out_(out) {}
  absl::Status Write(std::span<const uint8_t> bytes) override {
    out_.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    return Check();
  }
  absl::Status Flush() {
    out_.flush();
    return Check();
  }

 private:
  absl::Status Check() const {
    if (out_) return absl::OkStatus();
    return base::MakeError(absl::StatusCode::kFailedPrecondition,
                           "the standard output cannot be written",
                           {.reason = "OUTPUT_NOT_WRITABLE"});
  }
  std::ostream& out_;
};

}  // namespace histeq::client
