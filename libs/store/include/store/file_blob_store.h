#pragma once

// Blobs as files below one folder.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "store/blob_store.h"

namespace histeq::store {

// A call to the file system, for the tests' faults.
enum class FileCall { kCreate, kWrite, kSync, kRename, kSyncFolder, kHole };

struct FileBlobStoreOptions {
  // Free bytes that must stay on the disk beyond the blob to be written, so that the catalog can
  // still work. 0: no reserve.
  uint64_t reserve_bytes = 256ull << 20;
  // A partial blob is synced after so many bytes, and with the first bytes that come so long after
  // the last sync: what a crash in the middle of an upload costs at most.
  uint64_t sync_bytes = 64ull << 20;
  absl::Duration sync_interval = absl::Seconds(2);
  // A blob of at most so many bytes that comes in one go is kept in memory until it is whole, and
  // goes to a pack file with others; 0: none does. A pack grows to about max_pack_bytes.
  uint64_t max_packed_bytes = 256 << 10;
  uint64_t max_pack_bytes = 64ull << 20;
  // For sync_interval; outlives the store.
  const base::Clock* clock = &base::SystemClock();
  // Called before each call; an errno other than 0 is taken as the call's failure. For tests.
  std::function<int(FileCall)> fault;
};

// The store below `folder`, which is made when it is missing. Files are FOLDER/ab/KEY, KEY.partial,
// and KEY.sections: for each synced section of a partial blob its checksum and the state of the
// blob's SHA-256, from which it is continued after a crash without being read again. Small blobs
// are in FOLDER/packs, many to a file, where the file system can give the room of one back (holes).
// The caller holds the folder alone (see data_dir.h).
absl::StatusOr<std::unique_ptr<BlobStore>> OpenFileBlobStore(const std::string& folder,
                                                             const FileBlobStoreOptions& options);

}  // namespace histeq::store
