#include "grpc_frontend.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "grpc_frontend_service.h"
#include "grpc_job_queue_service.h"
#include "grpc_operation.h"
#include "maintenance.h"
#include "request_checks.h"
#include "rpc/canonical_operation.h"
#include "rpc/event_log.h"
#include "store/data_dir.h"
#include "store/file_blob_store.h"
#include "store/sqlite_catalog.h"

namespace histeq::frontend {
namespace {

std::string AnalyzeOperation() {
  v1::Operation operation;
  operation.mutable_analyze();
  return rpc::Serialize(operation);
}

Maintenance::Options MaintenanceOptions(const FrontendOptions& options) {
  Maintenance::Options maintenance;
  maintenance.lease_interval = std::clamp(options.catalog.lease_ttl / 10, absl::Milliseconds(100),
                                          maintenance.lease_interval);
  maintenance.upload_retention = options.upload_retention;
  maintenance.sweep_interval =
      std::clamp(options.upload_retention / 4, absl::Milliseconds(100), maintenance.sweep_interval);
  maintenance.expiry_interval = options.expiry_interval;
  return maintenance;
}

}  // namespace

struct Frontend::Parts {
  Parts(const FrontendOptions& options, std::unique_ptr<store::DataDir> dir,
        std::unique_ptr<store::BlobStore> blob_store, std::unique_ptr<store::Catalog> given,
        store::FileRoots roots)
      : data_dir(std::move(dir)),
        blobs(std::move(blob_store)),
        catalog(std::move(given)),
        core(options, *catalog, *blobs, std::move(roots), AnalyzeOperation()),
        frontend(core),
        job_queue(core),
        hints(catalog->Subscribe([this](const store::CatalogHint& hint) {
          if (hint.kind != store::CatalogHint::Kind::kJob) return;
          core.hub.Notify(hint.job_id);
          core.guards.JobChanged(hint.job_id);
        })),
        maintenance(*catalog, *blobs, core.nodes, core.uses, core.clock,
                    MaintenanceOptions(options)) {}

  const std::unique_ptr<store::DataDir> data_dir;
  const std::unique_ptr<store::BlobStore> blobs;
  const std::unique_ptr<store::Catalog> catalog;
  FrontendCore core;
  GrpcFrontendService frontend;
  GrpcJobQueueService job_queue;
  const std::shared_ptr<void> hints;
  Maintenance maintenance;
};

absl::StatusOr<std::unique_ptr<Frontend>> Frontend::Open(const FrontendOptions& options) {
  for (const store::CoordinatorRecord& coordinator : options.coordinators) {
    HISTEQ_RETURN_IF_ERROR(CheckCoordinatorName(coordinator.name, "coordinator"));
    HISTEQ_RETURN_IF_ERROR(CheckAddress(coordinator.address, "coordinator"));
  }
  HISTEQ_ASSIGN_OR_RETURN(store::FileRoots roots, store::FileRoots::Open(options.file_roots));
  HISTEQ_ASSIGN_OR_RETURN(auto data_dir, store::DataDir::Open(options.data_dir));
  store::FileBlobStoreOptions blob_options;
  blob_options.reserve_bytes = options.disk_reserve_bytes;
  blob_options.max_packed_bytes = options.max_packed_bytes;
  blob_options.clock = options.clock;
  HISTEQ_ASSIGN_OR_RETURN(auto blobs,
                          store::OpenFileBlobStore(data_dir->blob_folder(), blob_options));
  store::SqliteCatalogOptions catalog_options;
  catalog_options.limits = options.catalog;
  // Their bytes are in memory too until they are finished.
  catalog_options.limits.small_upload_bytes = options.max_packed_bytes;
  catalog_options.clock = options.clock;
  catalog_options.max_file_bytes = options.max_catalog_bytes;
  HISTEQ_ASSIGN_OR_RETURN(auto catalog,
                          store::OpenSqliteCatalog(data_dir->catalog_file(), catalog_options));
  for (const store::CoordinatorRecord& coordinator : options.coordinators) {
    HISTEQ_RETURN_IF_ERROR(catalog->RegisterCoordinator(coordinator));
  }
  HISTEQ_ASSIGN_OR_RETURN(const store::QueueCounts counts, catalog->CountJobs());
  rpc::LogEvent(rpc::LogLevel::kInfo, "store_opened",
                {{"folder", options.data_dir},
                 {"jobs_queued", fmt::format("{}", counts.queued)},
                 {"jobs_running", fmt::format("{}", counts.running)}});
  return std::unique_ptr<Frontend>(new Frontend(std::make_unique<Parts>(
      options, std::move(data_dir), std::move(blobs), std::move(catalog), std::move(roots))));
}

Frontend::Frontend(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Frontend::~Frontend() = default;

std::vector<grpc::Service*> Frontend::services() { return {&parts_->frontend, &parts_->job_queue}; }

void Frontend::StartMaintenance() { parts_->maintenance.Start(); }

void Frontend::Drain(absl::Duration timeout) {
  FrontendCore& core = parts_->core;
  core.activity.StartDrain();
  const uint32_t transfers = core.activity.transfers();
  rpc::LogEvent(rpc::LogLevel::kInfo, "draining", {{"transfers", fmt::format("{}", transfers)}});
  if (!core.activity.WaitIdle(timeout)) {
    rpc::LogEvent(rpc::LogLevel::kWarning, "drain_timeout",
                  {{"transfers", fmt::format("{}", core.activity.transfers())}});
  }
  parts_->job_queue.EndHeartbeats();
}

FrontendCore& Frontend::core() { return parts_->core; }

}  // namespace histeq::frontend
