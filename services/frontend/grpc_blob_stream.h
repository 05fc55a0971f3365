#pragma once

// The bytes of a stored image as chunks.

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpc_core.h"
#include "histeq/v1/chunk.pb.h"
#include "store/blob_store.h"
#include "store/catalog.h"

namespace histeq::frontend {

// Opens the image's bytes from `offset` on, `limit` of them (0: all), wherever they are.
// - NOT_FOUND IMAGE_NOT_FOUND: deleted since `image` was read. OUT_OF_RANGE, DATA_LOSS of
//   BlobStore::OpenRead.
// - of a registered file: errors of FileRoots::OpenFile, DATA_LOSS SOURCE_CHANGED.
// - UNIMPLEMENTED NODE_STORAGE: it lies at a node.
absl::StatusOr<store::BlobReader> OpenImage(FrontendCore& core, const store::ImageRecord& image,
                                            uint64_t offset, uint64_t limit);

// Fills `chunk` with piece after piece, the first at `offset`, and calls `send` for each. Errors of
// the reader's source and of `send`.
absl::Status StreamChunks(store::BlobReader& reader, uint64_t offset, v1::Chunk& chunk,
                          const std::function<absl::Status()>& send);

}  // namespace histeq::frontend
