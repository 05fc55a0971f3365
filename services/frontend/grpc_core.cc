#include "grpc_core.h"

#include <utility>

namespace histeq::frontend {
namespace {

rpc::Admission::Options Door(const FrontendOptions& options, std::string what, uint32_t active,
                             uint32_t waiting) {
  rpc::Admission::Options door;
  door.what = std::move(what);
  door.max_active = active;
  door.max_waiting = waiting;
  door.max_wait = options.max_admission_wait;
  return door;
}

}  // namespace

FrontendCore::FrontendCore(const FrontendOptions& options_given, store::Catalog& catalog_given,
                           store::BlobStore& blobs_given, store::FileRoots roots,
                           std::string analyze_operation)
    : options(options_given),
      clock(*options.clock),
      catalog(catalog_given),
      blobs(blobs_given),
      file_roots(std::move(roots)),
      guards(
          clock,
          [this](const std::string& job_id, uint64_t epoch) {
            return catalog.GetLease(job_id, epoch).status();
          },
          CallGuards::Options()),
      // Those that are attached, and as many that have gone.
      nodes(clock, {.gone_after = options.coordinator_gone_after,
                    .max_nodes = 2 * size_t{options.max_coordinators}}),
      analyze_jobs(catalog, std::move(analyze_operation)),
      uploads(Door(options, "uploads", options.max_uploads, options.max_waiting_uploads)),
      downloads(Door(options, "downloads", options.max_downloads, options.max_waiting_downloads)),
      job_transfers(Door(options, "transfers of coordinators", options.max_job_transfers,
                         options.max_waiting_job_transfers)),
      watchers(Door(options, "watchers", options.max_watchers, 0)),
      histogram_waiters(Door(options, "calls of GetHistogram", options.max_histogram_waiters, 0)),
      heartbeats(Door(options, "coordinators", options.max_coordinators, 0)),
      lease_waiters(Door(options, "calls of LeaseJob", options.max_lease_waiters, 0)) {}

}  // namespace histeq::frontend
