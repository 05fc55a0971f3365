#pragma once

// Files in this worker's storage.

#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "histeq/v1/worker.pb.h"
#include "store/file_roots.h"

namespace histeq::worker {

// Opens what a request means.
// - INVALID_ARGUMENT BAD_LOCATION: no node:// location. DATA_LOSS SOURCE_CHANGED: not the file that
// is
//   meant. Errors of store::StorageRoots.
absl::StatusOr<store::RootedFile> OpenStored(const store::StorageRoots& storage,
                                             const v1::ProcessImageRequest::Header& header);
absl::StatusOr<store::RootedFile> OpenStored(const store::StorageRoots& storage,
                                             const v1::ReadFileRequest& request);

// Fills `bytes`, which are as many as the file has. DATA_LOSS SOURCE_CHANGED, also when their
// SHA-256 is another one than `sha256` (empty: any).
absl::Status ReadWhole(const store::RootedFile& file, const std::string& sha256,
                       std::span<uint8_t> bytes);

// OUT_OF_RANGE TOO_LARGE_HERE: it is done by segments.
absl::Status TooLargeHere();

}  // namespace histeq::worker
