#include <functional>

#include "base/status_macros.h"
#include "histeq/v1/worker.grpc.pb.h"
#include "rpc/guarded_call.h"
#include "rpc/remote_executor.h"
#include "worker_pool_state.h"

namespace histeq::rpc {
namespace {

constexpr absl::Duration kLongWait = absl::Hours(1);

// Waits for a place on a worker, then runs `use` there with a call that has `timeout`.
absl::Status WithWorker(
    WorkerPool::State& pool, absl::Duration timeout, const base::CancelToken& token,
    std::atomic<uint32_t>& busy,
    const std::function<grpc::Status(v1::Worker::StubInterface&, grpc::ClientContext&)>& use) {
  Claimant claimant;
  const std::shared_ptr<void> wake = token.OnCancel([&] {
    std::lock_guard lock(pool.mutex);
    claimant.changed.notify_all();
  });
  std::unique_lock lock(pool.mutex);
  pool.Enter(claimant);
  pool.SetWants(claimant, true);
  std::shared_ptr<PooledWorker> worker;
  while (!token.cancelled() && pool.AnyUsable(0)) {
    worker = pool.TryAcquire(claimant);
    if (worker != nullptr) break;
    claimant.changed.wait_for(lock, absl::ToChronoNanoseconds(kLongWait));
  }
  pool.SetWants(claimant, false);
  if (worker == nullptr) {
    pool.Leave(claimant);
    lock.unlock();
    HISTEQ_RETURN_IF_ERROR(token.Check());
    return absl::UnavailableError("there is no worker");
  }
  busy = 1;
  lock.unlock();
  absl::Status status;
  {
    base::CancelSource cancel(token);
    const std::shared_ptr<void> gone =
        worker->gone.token().OnCancel([&] { cancel.Cancel(worker->gone.token().Check()); });
    GuardedCall call(pool.watchdog, timeout, cancel.token());
    status = call.Result(use(*worker->stub, call.context()));
  }
  lock.lock();
  busy = 0;
  if (status.ok()) ++worker->segments_done;
  pool.Release(claimant, *worker);
  pool.Leave(claimant);
  lock.unlock();
  return status;
}

}  // namespace

absl::Status RemoteExecutor::AwaitWorker(absl::Duration timeout, const base::CancelToken& token) {
  return WithWorker(*pool_.state(), timeout, token, busy_,
                    [](v1::Worker::StubInterface& stub, grpc::ClientContext& context) {
                      v1::WorkerGetStatusResponse response;
                      return stub.GetStatus(&context, v1::WorkerGetStatusRequest(), &response);
                    });
}

absl::StatusOr<v1::ProcessFileResponse> RemoteExecutor::ProcessFile(
    const v1::ProcessFileRequest& request, absl::Duration timeout, const base::CancelToken& token) {
  v1::ProcessFileResponse response;
  HISTEQ_RETURN_IF_ERROR(
      WithWorker(*pool_.state(), timeout, token, busy_,
                 [&](v1::Worker::StubInterface& stub, grpc::ClientContext& context) {
                   return stub.ProcessFile(&context, request, &response);
                 }));
  return response;
}

}  // namespace histeq::rpc
