#include "grpc_heartbeat.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/error.h"
#include "rpc/event_log.h"
#include "rpc/guarded_call.h"
#include "rpc/proto_convert.h"
#include "rpc/retry.h"

namespace histeq::coordinator {
namespace {
// For the last request before the end of the program.
constexpr absl::Duration kFarewell = absl::Seconds(2);
}  // namespace

FrontendHeartbeat::FrontendHeartbeat(std::shared_ptr<grpc::Channel> channel, LeaseTable& table,
                                     base::Watchdog& watchdog, const base::Clock& clock,
                                     std::function<v1::CoordinatorInfo()> describe,
                                     std::function<void(bool)> connected, Options options)
    : stub_(v1::JobQueue::NewStub(std::move(channel))),
      table_(table),
      watchdog_(watchdog),
      clock_(clock),
      describe_(std::move(describe)),
      connected_(std::move(connected)),
      options_(options),
      thread_([this] { Run(); }) {}

FrontendHeartbeat::~FrontendHeartbeat() { Stop(); }

void FrontendHeartbeat::Wake(bool urgent) {
  std::lock_guard lock(mutex_);
  bool& news = urgent ? urgent_ : progress_;
  if (std::exchange(news, true)) return;
  changed_.notify_all();
}

void FrontendHeartbeat::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  stop_.Cancel(absl::UnavailableError("the coordinator is shutting down"));
  if (thread_.joinable()) thread_.join();
}

void FrontendHeartbeat::Run() {
  rpc::Backoff backoff;
  std::string logged;
  while (true) {
    answered_ = false;
    const absl::Status status = RunStream();
    if (answered_) {
      connected_(false);
      backoff.Reset();
      logged.clear();
    }
    if (stop_.token().cancelled()) return;
    // gRPC's texts of one and the same outage differ from try to try.
    const auto detail = base::GetErrorDetail(status);
    const std::string reason = detail.has_value() ? detail->reason : std::string();
    std::string kind = absl::StatusCodeToString(status.code()) + " " + reason;
    if (kind != logged) {
      rpc::LogEvent(rpc::LogLevel::kWarning, "frontend_lost",
                    {{"code", absl::StatusCodeToString(status.code())},
                     {"reason", reason},
                     {"error", std::string(status.message())}});
      logged = std::move(kind);
    }
    if (!backoff.Wait(stop_.token()).ok()) return;
  }
}

absl::Status FrontendHeartbeat::RunStream() {
  // A stop does not cancel a stream that works: the last request should still arrive.
  rpc::GuardedCall call(watchdog_, options_.timeout, base::CancelToken());
  const std::shared_ptr<void> give_up = stop_.token().OnCancel([this, &call] {
    if (!answered_) call.Cancel();
  });
  const auto stream = stub_->Heartbeat(&call.context());
  absl::Duration interval = options_.interval;
  bool more = true;
  while (more) {
    v1::HeartbeatRequest request;
    {
      // Before the state is read: what changes from here on is news for the next request.
      std::lock_guard lock(mutex_);
      urgent_ = progress_ = false;
      more = !stopping_;
    }
    *request.mutable_coordinator() = describe_();
    for (const LeaseTable::Snapshot& held : table_.Held()) {
      v1::HeldLease& lease = *request.add_leases();
      lease.set_job_id(held.key.job_id);
      lease.set_epoch(held.key.epoch);
      v1::JobProgress& progress = *lease.mutable_progress();
      progress.set_stage(static_cast<v1::JobStage>(held.progress.stage));
      progress.set_segments_done(held.progress.segments_done);
      progress.set_segments_total(held.progress.segments_total);
      progress.set_workers(held.progress.workers);
    }
    const absl::Duration sent_at = clock_.Monotonic();
    v1::HeartbeatResponse response;
    call.Begin(more ? options_.timeout : kFarewell);
    if (!stream->Write(request) || !stream->Read(&response)) break;
    call.Pause();
    Apply(response, sent_at);
    if (response.has_interval()) {
      interval = std::clamp(rpc::FromProto(response.interval()), absl::Milliseconds(100),
                            absl::Seconds(60));
    }
    if (!answered_) {
      answered_ = true;
      rpc::LogEvent(rpc::LogLevel::kInfo, "frontend_connected", {{"peer", call.context().peer()}});
      connected_(true);
    }
    if (more) WaitNext(sent_at, interval);
  }
  call.Begin();
  if (!more) stream->WritesDone();
  const absl::Status status = call.Result(stream->Finish());
  return status.ok() ? absl::UnavailableError("the frontend ended the stream") : status;
}

void FrontendHeartbeat::WaitNext(absl::Duration sent_at, absl::Duration interval) {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    absl::Duration due = sent_at + interval;
    if (progress_) due = std::min(due, sent_at + options_.progress_gap);
    if (urgent_) due = std::min(due, sent_at + options_.urgent_gap);
    const absl::Duration left = due - clock_.Monotonic();
    if (left <= absl::ZeroDuration()) return;
    changed_.wait_for(lock, absl::ToChronoNanoseconds(left));
  }
}

void FrontendHeartbeat::Apply(const v1::HeartbeatResponse& response, absl::Duration sent_at) {
  const absl::Duration ttl =
      response.has_lease_ttl() ? rpc::FromProto(response.lease_ttl()) : absl::Seconds(30);
  for (const v1::HeartbeatResponse::LeaseAnswer& answer : response.leases()) {
    table_.Answer({answer.job_id(), answer.epoch()}, static_cast<Verdict>(answer.verdict()),
                  sent_at, ttl);
  }
  if (response.draining() != frontend_draining_) {
    frontend_draining_ = response.draining();
    rpc::LogEvent(rpc::LogLevel::kInfo,
                  frontend_draining_ ? "frontend_draining" : "frontend_serving", {});
  }
}

}  // namespace histeq::coordinator
