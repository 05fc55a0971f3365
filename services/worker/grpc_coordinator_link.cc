#include "grpc_coordinator_link.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "fmt/format.h"
#include "rpc/channel.h"
#include "rpc/event_log.h"
#include "rpc/guarded_call.h"
#include "rpc/proto_convert.h"
#include "rpc/retry.h"

namespace histeq::worker {
namespace {
// Of a coordinator; as much of it as is kept.
std::string NameOf(const std::string& sent) { return sent.substr(0, 255); }
}  // namespace

bool AttachedCoordinators::Attach(const std::string& name, const void* link) {
  std::lock_guard lock(mutex_);
  return links_.emplace(name, link).first->second == link;
}

void AttachedCoordinators::Detach(const std::string& name, const void* link) {
  std::lock_guard lock(mutex_);
  const auto found = links_.find(name);
  if (found != links_.end() && found->second == link) links_.erase(found);
}

bool AttachedCoordinators::HasOther(const std::string& name, const void* link) const {
  std::lock_guard lock(mutex_);
  const auto found = links_.find(name);
  return found != links_.end() && found->second != link;
}

CoordinatorLink::CoordinatorLink(std::string address, base::Watchdog& watchdog,
                                 AttachedCoordinators& attached,
                                 std::function<v1::WorkerInfo()> describe, Options options)
    : address_(std::move(address)),
      stub_(v1::Coordinator::NewStub(rpc::MakeChannel(address_))),
      watchdog_(watchdog),
      attached_(attached),
      describe_(std::move(describe)),
      options_(options),
      thread_([this] { Run(); }) {}

CoordinatorLink::~CoordinatorLink() { Stop(); }

void CoordinatorLink::Wake(bool urgent) {
  std::lock_guard lock(mutex_);
  if (std::exchange(urgent ? urgent_ : news_, true)) return;
  changed_.notify_all();
}

void CoordinatorLink::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  stop_.Cancel(absl::UnavailableError("the worker is shutting down"));
  if (thread_.joinable()) thread_.join();
}

bool CoordinatorLink::connected() const {
  std::lock_guard lock(mutex_);
  return connected_;
}

void CoordinatorLink::Run() {
  rpc::Backoff backoff;
  while (true) {
    if (Wanted()) {
      const absl::Status status = RunStream();
      bool was_connected;
      {
        std::lock_guard lock(mutex_);
        was_connected = std::exchange(connected_, false);
      }
      if (was_connected) {
        attached_.Detach(coordinator_, this);
        backoff.Reset();
        logged_.clear();
      }
      if (stop_.token().cancelled()) return;
      LogOutage(status);
    }
    if (!backoff.Wait(stop_.token()).ok()) return;
  }
}

bool CoordinatorLink::Wanted() {
  // While another address leads to this coordinator, this one would only take its place.
  if (coordinator_.empty() || !attached_.HasOther(coordinator_, this)) return true;
  // But addresses move: there may be another coordinator here now. A question disturbs nobody.
  rpc::GuardedCall call(watchdog_, options_.timeout, stop_.token());
  v1::CoordinatorGetStatusResponse response;
  if (!stub_->GetStatus(&call.context(), {}, &response).ok()) return false;
  const std::string now = NameOf(response.coordinator().name());
  if (now == coordinator_) return false;
  coordinator_ = now;
  return !attached_.HasOther(coordinator_, this);
}

void CoordinatorLink::LogOutage(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  const std::string reason = detail.has_value() ? detail->reason : std::string();
  std::string kind = absl::StatusCodeToString(status.code()) + " " + reason;
  if (kind == logged_) return;
  logged_ = std::move(kind);
  rpc::LogEvent(rpc::LogLevel::kWarning, "coordinator_lost",
                {{"coordinator", coordinator_},
                 {"address", address_},
                 {"code", absl::StatusCodeToString(status.code())},
                 {"reason", reason},
                 {"error", std::string(status.message())}});
}

absl::Status CoordinatorLink::RunStream() {
  rpc::GuardedCall call(watchdog_, options_.timeout, stop_.token());
  const auto stream = stub_->Heartbeat(&call.context());
  {
    std::lock_guard lock(mutex_);
    answers_ = 0;
    broken_ = false;
  }
  // A thread that always reads: a stream that breaks between two requests is noticed at once.
  std::thread reader([&] {
    v1::CoordinatorHeartbeatResponse response;
    while (stream->Read(&response)) {
      std::lock_guard lock(mutex_);
      answer_ = response;
      ++answers_;
      changed_.notify_all();
    }
    std::lock_guard lock(mutex_);
    broken_ = true;
    changed_.notify_all();
  });
  const absl::Status refused = Converse(call, *stream);
  // It may still be open: the worker stops, or has this coordinator under another address.
  call.Cancel();
  reader.join();
  call.Begin();
  const absl::Status status = call.Result(stream->Finish());
  if (!refused.ok()) return refused;
  return status.ok() ? absl::UnavailableError("the coordinator ended the stream") : status;
}

absl::Status CoordinatorLink::Converse(
    rpc::GuardedCall& call,
    grpc::ClientReaderWriterInterface<v1::CoordinatorHeartbeatRequest,
                                      v1::CoordinatorHeartbeatResponse>& stream) {
  absl::Duration interval = options_.interval;
  bool draining = false;
  for (uint64_t sent = 1;; ++sent) {
    {
      // Before the state is read: what changes from here on is news for the next request.
      std::lock_guard lock(mutex_);
      urgent_ = news_ = false;
    }
    v1::CoordinatorHeartbeatRequest request;
    *request.mutable_worker() = describe_();
    const absl::Duration sent_at = base::SystemClock().Monotonic();
    v1::CoordinatorHeartbeatResponse response;
    call.Begin();
    if (!stream.Write(request)) return absl::OkStatus();
    {
      // The call's watch ends this wait.
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return broken_ || answers_ >= sent; });
      if (broken_) return absl::OkStatus();
      response = answer_;
    }
    call.Pause();
    if (response.has_interval()) {
      interval = std::clamp(rpc::FromProto(response.interval()), absl::Milliseconds(100),
                            absl::Seconds(60));
    }
    if (!connected()) {
      coordinator_ = NameOf(response.coordinator());
      if (!attached_.Attach(coordinator_, this)) {
        return absl::AlreadyExistsError(
            fmt::format("another address of the list leads to coordinator {} too", coordinator_));
      }
      {
        std::lock_guard lock(mutex_);
        connected_ = true;
      }
      rpc::LogEvent(rpc::LogLevel::kInfo, "coordinator_connected",
                    {{"coordinator", coordinator_}, {"address", address_}});
    }
    if (response.draining() != draining) {
      draining = response.draining();
      rpc::LogEvent(rpc::LogLevel::kInfo, draining ? "coordinator_draining" : "coordinator_serving",
                    {{"coordinator", coordinator_}, {"address", address_}});
    }
    if (!WaitNext(sent_at, interval)) return absl::OkStatus();
  }
}

bool CoordinatorLink::WaitNext(absl::Duration sent_at, absl::Duration interval) {
  std::unique_lock lock(mutex_);
  while (!stopping_ && !broken_) {
    absl::Duration due = sent_at + interval;
    if (news_) due = std::min(due, sent_at + options_.gap);
    if (urgent_) due = std::min(due, sent_at + options_.urgent_gap);
    const absl::Duration left = due - base::SystemClock().Monotonic();
    if (left <= absl::ZeroDuration()) return true;
    changed_.wait_for(lock, absl::ToChronoNanoseconds(left));
  }
  return false;
}

}  // namespace histeq::worker
