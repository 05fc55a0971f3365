#pragma once

// Bytes of stored images.

#include <cstdint>

#include "absl/status/statusor.h"
#include "api/client.h"
#include "api/received_bytes.h"

namespace histeq::client {

struct DownloadOptions {
  // The range wanted, in bytes; limit 0: all to the end.
  uint64_t offset = 0;
  uint64_t limit = 0;
  ReceivedCallback received = {};
};

// The bytes of an image in order into the sink that `open` gives, through broken connections and
// restarts of the server; each chunk is checked, and the SHA-256 of a whole image.
// - OUT_OF_RANGE: offset beyond the end.
// - DATA_LOSS: bytes arrive damaged again and again, or are not the image (CHECKSUM_MISMATCH): what
//   the sink has taken is not to be used.
// - The sink's status.
absl::StatusOr<v1::Image> DownloadImage(Client& client, const std::string& image_id,
                                        const DownloadOptions& options, const OpenSink& open,
                                        const CallControl& control);

}  // namespace histeq::client
