#include "grpc_worker_probe.h"

#include <chrono>

#include "fmt/format.h"
#include "grpcpp/client_context.h"
#include "histeq/v1/worker.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/status.h"

namespace histeq::coordinator {

absl::Status ProbeWorker(const std::string& name, const std::string& address,
                         absl::Duration timeout) {
  const auto stub = v1::Worker::NewStub(rpc::MakeChannel(address));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
  v1::WorkerGetStatusResponse response;
  const grpc::Status status = stub->GetStatus(&context, v1::WorkerGetStatusRequest(), &response);
  if (!status.ok()) return rpc::FromGrpc(status);
  if (response.worker().name() != name) {
    return absl::InvalidArgumentError(
        fmt::format("worker {} answers there", response.worker().name()));
  }
  return absl::OkStatus();
}

}  // namespace histeq::coordinator
