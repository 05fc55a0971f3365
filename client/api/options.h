#pragma once

// How a client behaves, and what every call of it takes.

#include <cstddef>
#include <functional>
#include <string>

#include "absl/time/time.h"
#include "base/cancel.h"

namespace histeq::client {

struct ClientOptions {
  // The frontend: host:port, unix:path or dns:///name:port.
  std::string server;
  // Without any sign of life from the server for so long, a call gives up with SERVER_UNREACHABLE.
  absl::Duration give_up_after = absl::Seconds(60);
  // A server that answers, but only to say that it is busy, is asked for so long.
  absl::Duration busy_give_up_after = absl::Minutes(10);
  // A call on which nothing moves for so long is cancelled and made again.
  absl::Duration stall_timeout = absl::Seconds(45);
  // The pings asked for while a job is watched; three missed ones count as a lost connection.
  absl::Duration ping_interval = absl::Seconds(10);
  // Longest pause between two tries.
  absl::Duration longest_pause = absl::Seconds(2);
  // Bytes of a chunk sent, 1 to rpc::kMaxChunkBytes.
  size_t chunk_bytes = 256 << 10;
};

// Given with each call; the callbacks run on the calling thread and may be empty.
struct CallControl {
  // Ends the call with the token's status.
  base::CancelToken token = {};
  // One sentence for people when something went wrong and is tried again: "connection lost;
  // resuming at 12 MiB of 40 MiB".
  std::function<void(const std::string&)> notice = {};

  void Notice(const std::string& text) const {
    if (notice) notice(text);
  }
};

}  // namespace histeq::client
