#pragma once

// What must happen now and then, whoever calls.

#include <string>
#include <thread>

#include "absl/time/time.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "image_uses.h"
#include "node_registry.h"
#include "store/blob_store.h"
#include "store/catalog.h"

namespace histeq::frontend {

// A thread that ends leases that were not renewed and notes coordinators that have gone, and one
// that removes uploads that nobody continues, images that have expired, jobs that ended long ago
// and blobs that nothing refers to, so that no lease waits for a sweep. The others outlive it.
class Maintenance {
 public:
  struct Options {
    // Between two looks at the leases and the coordinators.
    absl::Duration lease_interval = absl::Seconds(2);
    // An upload that was not touched for so long is abandoned.
    absl::Duration upload_retention = absl::Hours(24);
    // Between two looks at the uploads.
    absl::Duration sweep_interval = absl::Minutes(10);
    // Between two looks at what has expired, and at jobs that ended long ago.
    absl::Duration expiry_interval = absl::Seconds(30);
    // Between two looks at all blobs, the first of which is at once.
    absl::Duration orphan_interval = absl::Hours(24);
  };
  Maintenance(store::Catalog& catalog, store::BlobStore& blobs, NodeRegistry& nodes,
              ImageUses& uses, const base::Clock& clock, Options options);
  ~Maintenance();
  Maintenance(const Maintenance&) = delete;
  Maintenance& operator=(const Maintenance&) = delete;

  // Once, when calls are answered: until then nobody can renew a lease.
  void Start();

 private:
  void Run();
  void RunSweeps();
  void ExpireLeases();
  void SweepUploads();
  // Writes down what was read, then removes what has expired or is too much.
  void ExpireImages();
  // Jobs and uploads that were over long ago.
  void ForgetFinished();
  void SweepOrphans();
  // Says what failed, once for each kind of failure in a row.
  void Note(const std::string& what, const absl::Status& status, std::string& last);

  store::Catalog& catalog_;
  store::BlobStore& blobs_;
  NodeRegistry& nodes_;
  ImageUses& uses_;
  const base::Clock& clock_;
  const Options options_;
  std::string lease_error_;
  std::string sweep_error_;
  std::string expiry_error_;
  std::string orphan_error_;
  std::string forget_error_;
  base::CancelSource stop_;
  std::thread thread_;
  std::thread sweeper_;
};

// A line of the log about how a job ended, or that it waits again.
void LogJobEnd(const store::JobRecord& job, const std::string& why);

}  // namespace histeq::frontend
