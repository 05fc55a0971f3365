#pragma once

// What is done about a full disk.

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "store/blob_store.h"
#include "store/catalog.h"

namespace histeq::frontend {

// DISK_FULL, of the blobs or of the catalog: nothing was changed.
bool IsDiskFull(const absl::Status& status);

// Gives up the uploads that nobody has continued for `idle`, with their bytes. True when that has
// freed any.
bool MakeRoom(store::Catalog& catalog, store::BlobStore& blobs, const base::Clock& clock,
              absl::Duration idle);

}  // namespace histeq::frontend
