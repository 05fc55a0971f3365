#include "grpc_node_storage.h"

#include <utility>

#include "base/status_macros.h"

namespace histeq::coordinator {
namespace {

rpc::WorkerFile AtWorker(const NodeFile& file, uint64_t max_bytes = 0) {
  return {.location = file.location,
          .storage = file.storage,
          .size_bytes = file.size_bytes,
          .modify_time = file.modify_time,
          .sha256 = file.sha256,
          .max_bytes = max_bytes};
}

}  // namespace

rpc::WorkerFilesOptions GrpcNodeStorage::WorkerOptions(const LeaseKey& key) const {
  rpc::WorkerFilesOptions options;
  options.job_id = key.job_id;
  options.epoch = key.epoch;
  options.coordinator = options_.coordinator;
  options.stall_timeout = options_.stall_timeout;
  return options;
}

absl::StatusOr<NodeStorage::OpenFile> GrpcNodeStorage::Open(const LeaseKey& key,
                                                            const NodeFile& file, uint64_t offset,
                                                            const base::CancelToken& token) {
  OpenFile open;
  if (!IsHere(file.storage)) {
    rpc::WorkerFiles workers(pool_, WorkerOptions(key));
    HISTEQ_ASSIGN_OR_RETURN(open.source, workers.Open(AtWorker(file), offset, token));
    return open;
  }
  HISTEQ_ASSIGN_OR_RETURN(store::RootedFile here, roots_.OpenFile(file.storage, file.path));
  HISTEQ_RETURN_IF_ERROR(store::CheckFileSize(here.stamp().size_bytes, options_.max_file_bytes));
  store::FileStamp meant = here.stamp();
  if (file.size_bytes.has_value()) meant.size_bytes = *file.size_bytes;
  if (file.modify_time.has_value()) meant.modify_time = *file.modify_time;
  HISTEQ_RETURN_IF_ERROR(store::CheckSameFile(meant, here.stamp()));
  open.modify_time = here.stamp().modify_time;
  HISTEQ_ASSIGN_OR_RETURN(
      store::BlobReader reader,
      store::ReadRange(std::move(here),
                       {.offset = offset, .limit = 0, .expected_blob_bytes = std::nullopt}));
  open.source = std::move(reader.source);
  return open;
}

absl::StatusOr<NodeStorage::Processed> GrpcNodeStorage::ProcessAtWorker(
    const LeaseKey& key, const NodeFile& file, const engine::Operation& operation,
    const codec::DecodeLimits& limits, base::ByteSink& sink, const base::CancelToken& token) {
  rpc::WorkerFiles workers(pool_, WorkerOptions(key));
  HISTEQ_ASSIGN_OR_RETURN(
      rpc::WorkerFiles::Processed processed,
      workers.Process(AtWorker(file, options_.max_file_bytes), operation, limits, sink, token));
  return Processed{.result = std::move(processed.result),
                   .inspected = std::move(processed.inspected)};
}

}  // namespace histeq::coordinator
