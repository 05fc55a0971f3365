#pragma once

// Whether bytes are an image that can be processed, as early as that can be known.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "codec/image_info.h"
#include "codec/limits.h"
#include "store/blob_store.h"
#include "store/records.h"

namespace histeq::frontend {

// What else is asked of an image: that an operation can be done to it. Empty: nothing.
using ImageCheck = std::function<absl::Status(const codec::ImageInfo& info)>;

// Probes the first bytes of a stream while they arrive, so that 10 GB that are no image are refused
// after a few kB. One thread at a time.
class HeadProbe {
 public:
  HeadProbe(codec::DecodeLimits limits, ImageCheck check)
      : limits_(limits), check_(std::move(check)) {}

  // The next bytes, from the first on. ProbeImage's errors but IMAGE_TRUNCATED, or `check`'s.
  // Looks no further than the first MiB: a header behind long metadata is left to ProbeStored.
  absl::Status Add(std::span<const uint8_t> bytes);

  // What the header says, once the bytes so far had all of it and `check` passed.
  const std::optional<codec::ImageInfo>& info() const { return info_; }

 private:
  // Whether `bytes`, the first of all, have the whole header.
  absl::Status Try(std::span<const uint8_t> bytes);

  const codec::DecodeLimits limits_;
  const ImageCheck check_;
  std::vector<uint8_t> head_;
  size_t next_try_ = 64 << 10;
  bool done_ = false;
  std::optional<codec::ImageInfo> info_;
};

// Reads the header of a finished blob. ProbeImage's errors, BlobStore::OpenRead's, or `check`'s.
absl::StatusOr<codec::ImageInfo> ProbeStored(store::BlobStore& blobs, const store::BlobInfo& blob,
                                             const codec::DecodeLimits& limits,
                                             const ImageCheck& check);

// What the catalog keeps of a blob, and what can be said of an image from that.
store::ImageFacts FactsOf(const store::BlobInfo& blob, const codec::ImageInfo& info);
codec::ImageInfo InfoOf(const store::ImageFacts& facts);

// Whether `status` says that the bytes, or the request, are at fault: no retry mends it.
bool IsRefusal(const absl::Status& status);

}  // namespace histeq::frontend
