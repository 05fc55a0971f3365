#include <algorithm>

#include "base/status_macros.h"
#include "histeq/v1/worker.grpc.pb.h"
#include "rpc/guarded_call.h"
#include "rpc/remote_executor.h"
#include "worker_pool_state.h"

namespace histeq::rpc {
namespace {

constexpr absl::Duration kLongWait = absl::Hours(1);

}  // namespace

absl::StatusOr<v1::ProcessFileResponse> RemoteExecutor::ProcessFile(
    const v1::ProcessFileRequest& request, absl::Duration timeout, const base::CancelToken& token) {
  const std::shared_ptr<WorkerPool::State> pool = pool_.state();
  Claimant claimant;
  const std::shared_ptr<void> wake = token.OnCancel([&] {
    std::lock_guard lock(pool->mutex);
    claimant.changed.notify_all();
  });
  std::unique_lock lock(pool->mutex);
  pool->Enter(claimant);
  pool->SetWants(claimant, true);
  std::shared_ptr<PooledWorker> worker;
  while (!token.cancelled() && pool->AnyUsable(0)) {
    worker = pool->TryAcquire(claimant, 0);
    if (worker != nullptr) break;
    claimant.changed.wait_for(lock, absl::ToChronoNanoseconds(kLongWait));
  }
  pool->SetWants(claimant, false);
  if (worker == nullptr) {
    pool->Leave(claimant);
    HISTEQ_RETURN_IF_ERROR(token.Check());
    return absl::UnavailableError("there is no worker");
  }
  busy_ = 1;
  lock.unlock();
  v1::ProcessFileResponse response;
  absl::Status status;
  {
    base::CancelSource cancel(token);
    const std::shared_ptr<void> gone =
        worker->gone.token().OnCancel([&] { cancel.Cancel(worker->gone.token().Check()); });
    GuardedCall call(pool->watchdog, timeout, cancel.token());
    status = call.Result(worker->stub->ProcessFile(&call.context(), request, &response));
  }
  lock.lock();
  busy_ = 0;
  if (status.ok()) ++worker->segments_done;
  pool->Release(claimant, *worker);
  pool->Leave(claimant);
  HISTEQ_RETURN_IF_ERROR(status);
  return response;
}

}  // namespace histeq::rpc
