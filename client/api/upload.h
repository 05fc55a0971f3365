#pragma once

// Sending a file to the frontend.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "api/client.h"
#include "api/local_file.h"

namespace histeq::client {

struct UploadOptions {
  // The image's name; see CheckImageName.
  std::string name;
  // A job to be queued together with the registration.
  std::optional<v1::Operation> operation = {};
  // The name of this upload, unique for ever; empty: a random one. One that was begun before goes
  // on where it stopped, with the same file, name and operation.
  std::string upload_id = {};
  // Called on the calling thread, after each chunk and after each resumption: bytes sent, and all.
  std::function<void(uint64_t sent, uint64_t size)> sent = {};
};

// Uploads `file`, through broken connections and restarts of the server: what is stored there
// already is not sent again. Returns when it is registered and durable.
// - FAILED_PRECONDITION FILE_CHANGED: the file changed meanwhile.
// - DATA_LOSS CHECKSUM_MISMATCH: bytes arrive damaged, again and again.
absl::StatusOr<v1::UploadImageResponse> UploadFile(Client& client, const LocalFile& file,
                                                   const UploadOptions& options,
                                                   const CallControl& control);

}  // namespace histeq::client
