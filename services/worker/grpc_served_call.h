#pragma once

// What every call that is served needs: an end when its caller leaves or falls silent.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/cancel.h"
#include "base/watchdog.h"
#include "grpcpp/server_context.h"

namespace histeq::worker {

class ServedCall;

// One thread that looks which of the calls being served were cancelled by their callers: gRPC's
// synchronous handlers are not told. Thread-safe. Must outlive its calls.
class CallWatch {
 public:
  // Calls are looked at once in `period`.
  explicit CallWatch(absl::Duration period = absl::Milliseconds(50));
  ~CallWatch();
  CallWatch(const CallWatch&) = delete;
  CallWatch& operator=(const CallWatch&) = delete;

 private:
  friend class ServedCall;
  void Add(ServedCall* call);
  void Remove(ServedCall* call);
  void Run();

  const absl::Duration period_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<ServedCall*> calls_;
  // The thread waits for a call.
  bool idle_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

// One call, from its handler's begin to its end. One thread at a time.
class ServedCall {
 public:
  // `stop` cancels it too. The others outlive it.
  ServedCall(CallWatch& watch, base::Watchdog& watchdog, absl::Duration stall_timeout,
             grpc::ServerContext& context, const base::CancelToken& stop);
  ~ServedCall();
  ServedCall(const ServedCall&) = delete;
  ServedCall& operator=(const ServedCall&) = delete;

  // Cancelled when the caller left, or with `stop`.
  base::CancelToken token() const { return cancel_.token(); }

  // A message, which may take `stall_timeout` to come or to go. After that the call ends with
  // DEADLINE_EXCEEDED.
  template <typename Stream, typename Message>
  bool Read(Stream& stream, Message& message) {
    alarm_->Extend(stall_timeout_);
    const bool read = stream.Read(&message);
    Pause();
    return read;
  }
  template <typename Stream, typename Message>
  bool Write(Stream& stream, const Message& message) {
    alarm_->Extend(stall_timeout_);
    const bool written = stream.Write(message);
    Pause();
    return written;
  }

  // Why the stream broke, when it did; OK otherwise.
  absl::Status Broken() const;

 private:
  friend class CallWatch;
  void Pause() { alarm_->Extend(absl::Hours(24 * 365)); }

  CallWatch& watch_;
  const absl::Duration stall_timeout_;
  grpc::ServerContext& context_;
  base::CancelSource cancel_;
  std::atomic<bool> stalled_ = false;
  // Ends a handler that waits for a message.
  std::shared_ptr<void> stop_link_;
  std::unique_ptr<base::Watchdog::Alarm> alarm_;
};

}  // namespace histeq::worker
