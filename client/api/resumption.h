#pragma once

// What follows a stream of bytes that ended too early. Inside of the client library.

#include "absl/status/status.h"
#include "api/patience.h"
#include "api/received_bytes.h"

namespace histeq::client {

// Of one download. One thread at a time.
class Resumption {
 public:
  // All outlive it.
  Resumption(const ReceivedBytes& bytes, Patience& patience, const CallControl& control)
      : bytes_(bytes), patience_(patience), control_(control) {}

  // After a stream ended with `failure` (not OK): OK to go on with another one at bytes.offset().
  absl::Status After(const absl::Status& failure);
  // When the new stream has shown a sign of life: tells so, once.
  void Established();

 private:
  const ReceivedBytes& bytes_;
  Patience& patience_;
  const CallControl& control_;
  uint64_t offset_before_ = 0;
  uint64_t offset_at_damage_ = 0;
  int damaged_ = 0;
  std::string cause_;
};

}  // namespace histeq::client
