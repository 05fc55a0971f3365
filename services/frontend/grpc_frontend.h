#pragma once

// The frontend as a whole: what it stores, its two services, and what runs beside the calls.

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpc_core.h"
#include "grpcpp/impl/codegen/service_type.h"

namespace histeq::frontend {

// One running frontend. Register services() with a server. Thread-safe.
class Frontend {
 public:
  // Takes the data folder and reads it. Errors of DataDir,
  // OpenFileBlobStore and OpenSqliteCatalog; INVALID_ARGUMENT for a malformed coordinator.
  static absl::StatusOr<std::unique_ptr<Frontend>> Open(const FrontendOptions& options);
  // After the server has ended: no call may run.
  ~Frontend();
  Frontend(const Frontend&) = delete;
  Frontend& operator=(const Frontend&) = delete;

  // Frontend and JobQueue; live as long as this.
  std::vector<grpc::Service*> services();

  // Once, when the server answers calls: from now on leases run out, and what a crash or a lost
  // client left behind is removed.
  void StartMaintenance();

  // From now on no upload, download, lease, job or watch begins; watchers are told to come again.
  // Transfers under way go on, for at most `timeout`; then heartbeats end. Afterwards the server
  // can be shut down without delay.
  void Drain(absl::Duration timeout);

  FrontendCore& core();

 private:
  struct Parts;
  explicit Frontend(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace histeq::frontend
