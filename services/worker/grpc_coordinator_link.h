#pragma once

// Tells one coordinator that this worker lives, and what is free of it.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/cancel.h"
#include "base/watchdog.h"
#include "histeq/v1/coordinator.grpc.pb.h"
#include "rpc/guarded_call.h"

namespace histeq::worker {

// Which coordinators are attached, by their names: an address that leads to the same one would
// throw this worker's first stream out. Thread-safe.
class AttachedCoordinators {
 public:
  // Whether `link` is now the one for `name`; false when another is.
  bool Attach(const std::string& name, const void* link);
  void Detach(const std::string& name, const void* link);
  // Whether another link than this one is attached to `name`.
  bool HasOther(const std::string& name, const void* link) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, const void*> links_;
};

// Keeps one Coordinator.Heartbeat stream open on a thread of its own; opens it again, after a pause
// that grows, for ever. Logs an outage once, with its reason. Thread-safe.
class CoordinatorLink {
 public:
  struct Options {
    // Until the coordinator names its own.
    absl::Duration interval = absl::Seconds(5);
    // A request that is not answered for so long breaks the stream. Longer than the coordinator
    // takes to call back.
    absl::Duration timeout = absl::Seconds(10);
    // Between two requests, at least: for news that somebody waits for, and for any other.
    absl::Duration urgent_gap = absl::Milliseconds(20);
    absl::Duration gap = absl::Milliseconds(200);
  };

  // `describe` gives this worker's state, from any thread. The others outlive it.
  CoordinatorLink(std::string address, base::Watchdog& watchdog, AttachedCoordinators& attached,
                  std::function<v1::WorkerInfo()> describe, Options options);
  // Stop.
  ~CoordinatorLink();
  CoordinatorLink(const CoordinatorLink&) = delete;
  CoordinatorLink& operator=(const CoordinatorLink&) = delete;

  // The state changed: send it soon, when `urgent` at once.
  void Wake(bool urgent);
  // Ends the stream, so that the coordinator knows at once.
  void Stop();

  bool connected() const;
  const std::string& address() const { return address_; }

 private:
  void Run();
  // Whether a stream to this address may lead to a coordinator that has no other.
  bool Wanted();
  absl::Status RunStream();
  // Requests and answers until the stream breaks or the worker stops (OK), or this address turns
  // out not to be wanted.
  absl::Status Converse(
      rpc::GuardedCall& call,
      grpc::ClientReaderWriterInterface<v1::CoordinatorHeartbeatRequest,
                                        v1::CoordinatorHeartbeatResponse>& stream);
  // Waits until the next request is due; whether there is to be one.
  bool WaitNext(absl::Duration sent_at, absl::Duration interval);
  void LogOutage(const absl::Status& status);

  const std::string address_;
  const std::unique_ptr<v1::Coordinator::StubInterface> stub_;
  base::Watchdog& watchdog_;
  AttachedCoordinators& attached_;
  const std::function<v1::WorkerInfo()> describe_;
  const Options options_;
  base::CancelSource stop_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool urgent_ = false;
  bool news_ = false;
  bool stopping_ = false;
  bool connected_ = false;
  // Of the present stream.
  v1::CoordinatorHeartbeatResponse answer_;
  uint64_t answers_ = 0;
  bool broken_ = false;
  // The thread's own: the coordinator's name as it last gave it, and the outage that was logged.
  std::string coordinator_;
  std::string logged_;
  std::thread thread_;
};

}  // namespace histeq::worker
