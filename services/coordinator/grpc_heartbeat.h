#pragma once

// Tells the frontend that this coordinator lives, and what it holds.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/watchdog.h"
#include "grpcpp/channel.h"
#include "histeq/v1/job_queue.grpc.pb.h"
#include "lease_table.h"

namespace histeq::coordinator {

// Keeps one JobQueue.Heartbeat stream open on a thread of its own; opens it again, after a pause
// that grows, when it breaks. Sends after the interval that the frontend wants, and soon when
// something changed that cannot wait. Thread-safe.
class FrontendHeartbeat {
 public:
  struct Options {
    // Until the frontend names its own.
    absl::Duration interval = absl::Seconds(5);
    // A request that is not answered for so long breaks the stream.
    absl::Duration timeout = absl::Seconds(10);
    // Between two requests, at least: for leases and workers that came or went, and for progress.
    absl::Duration urgent_gap = absl::Milliseconds(50);
    absl::Duration progress_gap = absl::Milliseconds(500);
  };

  // `describe` gives this coordinator's state, from any thread. `connected(true)` is called after
  // the first answer on a stream, `connected(false)` when it is broken. The others outlive it.
  FrontendHeartbeat(std::shared_ptr<grpc::Channel> channel, LeaseTable& table,
                    base::Watchdog& watchdog, const base::Clock& clock,
                    std::function<v1::CoordinatorInfo()> describe,
                    std::function<void(bool)> connected, Options options);
  // Stop.
  ~FrontendHeartbeat();
  FrontendHeartbeat(const FrontendHeartbeat&) = delete;
  FrontendHeartbeat& operator=(const FrontendHeartbeat&) = delete;

  // Something changed: `urgent` that the frontend should know at once (a worker, a lease).
  void Wake(bool urgent);

  // Sends what there is to say for the last time and ends the stream.
  void Stop();

 private:
  void Run();
  absl::Status RunStream();
  // Waits until the next request is due.
  void WaitNext(absl::Duration sent_at, absl::Duration interval);
  void Apply(const v1::HeartbeatResponse& response, absl::Duration sent_at);

  const std::unique_ptr<v1::JobQueue::StubInterface> stub_;
  LeaseTable& table_;
  base::Watchdog& watchdog_;
  const base::Clock& clock_;
  const std::function<v1::CoordinatorInfo()> describe_;
  const std::function<void(bool)> connected_;
  const Options options_;
  base::CancelSource stop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool urgent_ = false;
  bool progress_ = false;
  bool stopping_ = false;
  // Whether an answer has come on the present stream.
  std::atomic<bool> answered_ = false;
  bool frontend_draining_ = false;
  std::thread thread_;
};

}  // namespace histeq::coordinator
