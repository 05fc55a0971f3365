#pragma once

// The catalog in one SQLite file.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "store/catalog.h"

namespace histeq::store {

struct SqliteCatalogOptions {
  CatalogLimits limits;
  // Must outlive the catalog.
  const base::Clock* clock = &base::SystemClock();
  // A number in [0, 1) for the back-off's jitter; empty: the system's randomness. Called by one
  // thread at a time.
  std::function<double()> random;
  // The file may not grow beyond this; 0: no limit. Beyond it calls fail with DISK_FULL. New
  // uploads and CreateJob are refused at 7/8 of it, so that the jobs that are there can go on and
  // end.
  uint64_t max_file_bytes = 0;
  // Look through the whole file for damage when opening it (about 1 s for each 500 MB).
  bool check_when_opening = true;
};

// Opens or makes the catalog at `file` (beside it: FILE-wal, FILE-shm). WAL, synchronous=FULL:
// whatever was answered survives a power cut. Changes of concurrent callers share one transaction
// and one fsync. The caller holds the file alone (see data_dir.h).
// - FAILED_PRECONDITION SCHEMA_TOO_NEW: written by a newer version of this program.
// - DATA_LOSS CATALOG_DAMAGED: not a catalog, or damaged.
// - INVALID_ARGUMENT DATA_DIR_UNUSABLE: cannot be opened or made.
absl::StatusOr<std::unique_ptr<Catalog>> OpenSqliteCatalog(const std::string& file,
                                                           const SqliteCatalogOptions& options);

}  // namespace histeq::store
