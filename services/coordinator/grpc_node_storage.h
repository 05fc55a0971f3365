#pragma once

// NodeStorage over this process's roots and the workers' service.

#include <string>

#include "absl/time/time.h"
#include "node_storage.h"
#include "rpc/worker_files.h"
#include "rpc/worker_pool.h"
#include "store/file_roots.h"

namespace histeq::coordinator {

class GrpcNodeStorage final : public NodeStorage {
 public:
  struct Options {
    // This coordinator's name.
    std::string coordinator;
    absl::Duration stall_timeout = absl::Seconds(20);
    // Of any file.
    uint64_t max_file_bytes = 64ull << 30;
  };
  // The others outlive it and its sources.
  GrpcNodeStorage(const store::StorageRoots& roots, rpc::WorkerPool& pool, Options options)
      : roots_(roots), pool_(pool), options_(std::move(options)) {}

  bool IsHere(const std::string& storage) const override { return roots_.Has(storage); }
  absl::StatusOr<OpenFile> Open(const LeaseKey& key, const NodeFile& file, uint64_t offset,
                                const base::CancelToken& token) override;
  absl::StatusOr<Processed> ProcessAtWorker(const LeaseKey& key, const NodeFile& file,
                                            const engine::Operation& operation,
                                            const codec::DecodeLimits& limits, base::ByteSink& sink,
                                            const base::CancelToken& token) override;

 private:
  rpc::WorkerFilesOptions WorkerOptions(const LeaseKey& key) const;

  const store::StorageRoots& roots_;
  rpc::WorkerPool& pool_;
  const Options options_;
};

}  // namespace histeq::coordinator
