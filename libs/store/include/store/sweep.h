#pragma once

// Removes what crashes and lost clients leave behind.

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/cancel.h"
#include "store/blob_store.h"
#include "store/catalog.h"

namespace histeq::store {

struct SweepReport {
  uint64_t blobs_deleted = 0;
  uint64_t partials_deleted = 0;
  uint64_t uploads_forgotten = 0;
  uint64_t bytes_freed = 0;
};

// Deletes every blob that no image and no open upload refers to. At any time; a result on its way
// to be registered has an open writer, and stays. Takes time in proportion to the number of blobs;
// `stop` is asked between two, and its status returned.
absl::StatusOr<SweepReport> SweepOrphans(Catalog& catalog, BlobStore& blobs,
                                         const base::CancelToken& stop = {});

// Forgets open uploads that nobody touched, and whose bytes nobody added to, since `before`, with
// their bytes. At any time; an upload with an open writer stays. Reads no bytes; `stop` is asked
// between two uploads, and its status returned.
absl::StatusOr<SweepReport> SweepAbandonedUploads(Catalog& catalog, BlobStore& blobs,
                                                  absl::Time before,
                                                  const base::CancelToken& stop = {});

}  // namespace histeq::store
