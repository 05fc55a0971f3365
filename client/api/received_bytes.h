#pragma once

// The bytes of a download as they come, over any number of streams. Inside of the client library.

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/byte_stream.h"
#include "histeq/v1/chunk.pb.h"
#include "histeq/v1/image.pb.h"
#include "rpc/write_behind.h"
#include "store/sha256.h"

namespace histeq::client {

// Where downloaded bytes go; called once, when it is known which image they are. The sink outlives
// the download.
using OpenSink = std::function<absl::StatusOr<base::ByteSink*>(const v1::Image&)>;

// Called on the calling thread: bytes received, and all.
using ReceivedCallback = std::function<void(uint64_t received, uint64_t size)>;

// One thread at a time.
class ReceivedBytes {
 public:
  // The range wanted; `limit` 0: all to the end. Both callbacks may be empty.
  ReceivedBytes(uint64_t offset, uint64_t limit, OpenSink open, ReceivedCallback received)
      : first_(offset),
        limit_(limit),
        offset_(offset),
        open_(open),
        received_(received),
        behind_([this](std::span<const uint8_t> bytes) { return Write(bytes); }) {}

  // The image whose bytes follow. On a later stream it has to be the same one.
  absl::Status Begin(const v1::Image& image);
  // Takes the bytes out of the chunk.
  absl::Status Take(v1::Chunk& chunk);
  // After the last byte: waits until the sink has all, and checks the digest of a whole image.
  absl::Status Finish();

  bool begun() const { return image_.has_value(); }
  const v1::Image& image() const { return *image_; }
  // The next byte wanted, and how many are.
  uint64_t offset() const { return offset_; }
  uint64_t left() const { return end_ - offset_; }
  uint64_t size() const { return end_ - first_; }
  bool complete() const { return begun() && offset_ == end_; }
  // The failures above that come from this side, or that no other stream would mend.
  bool hopeless() const { return hopeless_; }

 private:
  absl::Status Hopeless(absl::Status status);
  absl::Status Write(std::span<const uint8_t> bytes);

  const uint64_t first_;
  const uint64_t limit_;
  uint64_t offset_;
  uint64_t end_ = 0;
  const OpenSink open_;
  const ReceivedCallback received_;
  std::optional<v1::Image> image_;
  bool hopeless_ = false;
  // Used by behind_.
  base::ByteSink* sink_ = nullptr;
  store::Sha256 digest_;
  rpc::WriteBehind behind_;
};

}  // namespace histeq::client
