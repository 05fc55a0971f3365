#pragma once

// What all calls of a frontend share.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "activity.h"
#include "analyze_jobs.h"
#include "base/clock.h"
#include "call_guards.h"
#include "codec/limits.h"
#include "image_uses.h"
#include "job_hub.h"
#include "node_registry.h"
#include "rpc/admission.h"
#include "store/blob_store.h"
#include "store/catalog.h"
#include "store/file_roots.h"
#include "upload_session.h"

namespace histeq::frontend {

// Every limit of the frontend.
struct FrontendOptions {
  // Everything that must not be lost.
  std::string data_dir;
  // Folders below which registered files are read.
  std::vector<std::string> file_roots;
  // One upload, one result.
  uint64_t max_upload_bytes = 64ull << 30;
  // One registered file that the frontend sees itself.
  uint64_t max_registered_bytes = 64ull << 30;
  codec::DecodeLimits decode;
  // Free bytes that stay on the disk; 0: none.
  uint64_t disk_reserve_bytes = 256ull << 20;
  // Files of at most so many bytes are stored many to a file; held in memory while they come.
  uint64_t max_packed_bytes = 256 << 10;
  // Of the catalog's file; 0: no limit.
  uint64_t max_catalog_bytes = 0;
  store::CatalogLimits catalog;

  // Calls at once, and those that wait for a place.
  uint32_t max_uploads = 64;
  uint32_t max_waiting_uploads = 256;
  uint32_t max_downloads = 64;
  uint32_t max_waiting_downloads = 256;
  // ReadSource and CompleteJob.
  uint32_t max_job_transfers = 256;
  uint32_t max_waiting_job_transfers = 256;
  // Larger sources do not come with the lease.
  uint64_t max_inline_source_bytes = 256 << 10;
  // Each parks a thread.
  uint32_t max_watchers = 256;
  uint32_t max_histogram_waiters = 64;
  uint32_t max_coordinators = 256;
  uint32_t max_lease_waiters = 1024;
  // A call that waits longer for its place is refused.
  absl::Duration max_admission_wait = absl::Seconds(10);

  // A sender that sends nothing, and a receiver that takes nothing, for so long.
  absl::Duration upload_idle_timeout = absl::Seconds(30);
  absl::Duration download_idle_timeout = absl::Seconds(60);
  // Bytes per second that an upload brings at least, measured while the sender is waited for; 0:
  // any number.
  uint64_t min_upload_rate = 1024;
  absl::Duration upload_rate_window = absl::Minutes(1);
  // How long GetHistogram waits for its job.
  absl::Duration histogram_wait = absl::Seconds(60);
  // An upload that nobody continues for so long is removed.
  absl::Duration upload_retention = absl::Hours(24);
  // The same while the disk is full.
  absl::Duration full_disk_upload_retention = absl::Minutes(10);
  // Between two looks at what has expired, which also write down what was read.
  absl::Duration expiry_interval = absl::Seconds(30);
  // Coordinators: how often they report, and when they count as gone.
  absl::Duration heartbeat_interval = absl::Seconds(5);
  absl::Duration coordinator_gone_after = absl::Seconds(20);
  // Those who may connect; empty: whatever the catalog has.
  std::vector<store::CoordinatorRecord> coordinators;
  const base::Clock* clock = &base::SystemClock();

  // For all calls that are worked on or wait, and some that are answered at once.
  int max_threads() const {
    const uint64_t parked = uint64_t{max_uploads} + max_waiting_uploads + max_downloads +
                            max_waiting_downloads + max_job_transfers + max_waiting_job_transfers +
                            max_watchers + max_histogram_waiters + max_coordinators +
                            max_lease_waiters;
    return static_cast<int>(parked + 256);
  }

  UploadLimits upload_limits() const {
    return {.max_bytes = max_upload_bytes,
            .decode = decode,
            .idle_retention = full_disk_upload_retention};
  }
};

struct FrontendCore {
  FrontendCore(const FrontendOptions& options, store::Catalog& catalog, store::BlobStore& blobs,
               store::FileRoots roots, std::string analyze_operation);

  const FrontendOptions options;
  const base::Clock& clock;
  store::Catalog& catalog;
  store::BlobStore& blobs;
  const store::FileRoots file_roots;
  Activity activity;
  JobHub hub;
  ImageUses uses;
  CallGuards guards;
  NodeRegistry nodes;
  AnalyzeJobs analyze_jobs;
  rpc::Admission uploads;
  rpc::Admission downloads;
  rpc::Admission job_transfers;
  rpc::Admission watchers;
  rpc::Admission histogram_waiters;
  rpc::Admission heartbeats;
  rpc::Admission lease_waiters;
};

// Between two looks at whether the client is still there.
inline constexpr absl::Duration kCancelLook = absl::Milliseconds(250);

}  // namespace histeq::frontend
