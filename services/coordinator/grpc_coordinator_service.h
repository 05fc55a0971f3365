#pragma once

// The Coordinator service: workers announce themselves here, and people look.

#include <functional>
#include <mutex>
#include <string>

#include "absl/time/time.h"
#include "base/clock.h"
#include "base/watchdog.h"
#include "histeq/v1/coordinator.grpc.pb.h"
#include "lease_table.h"
#include "worker_registry.h"

namespace histeq::coordinator {

class GrpcCoordinatorService final : public v1::Coordinator::Service {
 public:
  struct Options {
    std::string name;
    // How often workers should report.
    absl::Duration worker_interval = absl::Seconds(5);
    // How long a stream may be open without its first report.
    absl::Duration first_report_timeout = absl::Seconds(20);
  };

  // The others outlive the service and its calls.
  GrpcCoordinatorService(WorkerRegistry& registry, LeaseTable& table, base::Watchdog& watchdog,
                         std::function<v1::CoordinatorInfo()> describe, Options options);

  grpc::Status Heartbeat(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::CoordinatorHeartbeatResponse, v1::CoordinatorHeartbeatRequest>*
          stream) override;
  grpc::Status GetStatus(grpc::ServerContext* context,
                         const v1::CoordinatorGetStatusRequest* request,
                         v1::CoordinatorGetStatusResponse* response) override;

 private:
  WorkerRegistry& registry_;
  LeaseTable& table_;
  base::Watchdog& watchdog_;
  const std::function<v1::CoordinatorInfo()> describe_;
  const Options options_;
};

}  // namespace histeq::coordinator
