#pragma once

// What a file is: read whole, its header understood, nothing decoded.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/byte_stream.h"
#include "base/cancel.h"
#include "codec/image_info.h"
#include "codec/limits.h"

namespace histeq::engine {

struct InspectedFile {
  uint64_t size_bytes = 0;
  // 32 bytes; for the caller of Inspect to set.
  std::string sha256;
  codec::ImageInfo info;
  // Where the file lies at a node; for the caller of Inspect to set.
  std::optional<absl::Time> modify_time;
};

// Reads all of `source`, in constant memory. `seen` is given every byte, in order: for a checksum.
// - INVALID_ARGUMENT: the reasons of ProbeImage; the rest of the file is then not read.
// - what `source` and `token` answer.
absl::StatusOr<InspectedFile> Inspect(base::ByteSource& source, const codec::DecodeLimits& limits,
                                      const base::CancelToken& token,
                                      const std::function<void(std::span<const uint8_t>)>& seen);

}  // namespace histeq::engine
