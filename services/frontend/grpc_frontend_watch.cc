// WatchJob: follows one job, on the call's own thread.

#include <algorithm>
#include <memory>
#include <utility>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "grpc_blob_stream.h"
#include "grpc_convert.h"
#include "grpc_frontend_service.h"
#include "request_checks.h"
#include "rpc/event_log.h"
#include "rpc/proto_convert.h"

namespace histeq::frontend {
namespace {

// Hints may be lost; the catalog is asked this often anyway.
constexpr absl::Duration kPoll = absl::Seconds(3);

// The job as a watcher sees it, without its progress.
std::string StateOf(const v1::Job& job) {
  v1::Job state = job;
  state.clear_progress();
  return state.SerializeAsString();
}

class WatchCall {
 public:
  WatchCall(FrontendCore& core, const ServerCall& call, const v1::WatchJobRequest& request,
            grpc::ServerWriter<v1::WatchJobResponse>& writer)
      : core_(core),
        call_(call),
        request_(request),
        writer_(writer),
        guard_(core.guards.Watch(call.ender(), "nothing was taken")) {
    ping_interval_ = absl::Seconds(10);
    if (request.has_ping_interval()) {
      ping_interval_ =
          std::clamp(rpc::FromProto(request.ping_interval()), absl::Seconds(1), absl::Seconds(60));
    }
  }

  absl::Status Run() {
    const auto watch = core_.hub.MakeWatch(request_.job_id());
    HISTEQ_ASSIGN_OR_RETURN(store::JobRecord job, core_.catalog.GetJob(request_.job_id()));
    absl::Duration read_at = core_.clock.Monotonic();
    if (EndsWithResult(job)) return SendResult(job);
    HISTEQ_RETURN_IF_ERROR(SendJob(ToProto(job, core_.nodes), job.progress));
    while (!store::IsFinal(job.state)) {
      if (call_.cancelled()) return Gone();
      HISTEQ_RETURN_IF_ERROR(core_.activity.CheckServing());
      const absl::Duration ping_in = sent_at_ + ping_interval_ - core_.clock.Monotonic();
      const bool hinted = watch->Wait(std::clamp(ping_in, absl::Milliseconds(1), kCancelLook));
      const absl::Duration now = core_.clock.Monotonic();
      if (hinted || now - read_at >= kPoll) {
        HISTEQ_ASSIGN_OR_RETURN(job, core_.catalog.GetJob(request_.job_id()));
        read_at = now;
        if (EndsWithResult(job)) return SendResult(job);
        HISTEQ_RETURN_IF_ERROR(SendChange(job));
      }
      if (core_.clock.Monotonic() - sent_at_ >= ping_interval_) HISTEQ_RETURN_IF_ERROR(SendPing());
    }
    return absl::OkStatus();
  }

 private:
  bool EndsWithResult(const store::JobRecord& job) const {
    return store::IsFinal(job.state) && request_.send_result() && !job.result_image_id.empty();
  }

  absl::Status Gone() const {
    HISTEQ_RETURN_IF_ERROR(call_.WhyBroken());
    return absl::CancelledError("the client has gone");
  }

  absl::Status Send() {
    guard_->Expect(core_.options.download_idle_timeout);
    const bool sent = writer_.Write(message_);
    guard_->Pause();
    sent_at_ = core_.clock.Monotonic();
    return sent ? absl::OkStatus() : Gone();
  }

  absl::Status SendJob(v1::Job proto, const store::JobProgress& progress) {
    state_ = StateOf(proto);
    progress_ = progress;
    *message_.mutable_job() = std::move(proto);
    return Send();
  }

  absl::Status SendChange(const store::JobRecord& job) {
    v1::Job proto = ToProto(job, core_.nodes);
    if (StateOf(proto) != state_) return SendJob(std::move(proto), job.progress);
    if (job.progress == progress_) return absl::OkStatus();
    progress_ = job.progress;
    *message_.mutable_progress() = ToProto(progress_);
    return Send();
  }

  absl::Status SendPing() {
    *message_.mutable_ping()->mutable_time() = rpc::ToProto(core_.clock.Now());
    return Send();
  }

  absl::StatusOr<store::BlobReader> OpenResult(const std::string& image_id,
                                               store::ImageRecord& image) {
    HISTEQ_ASSIGN_OR_RETURN(image, core_.catalog.GetImage(image_id));
    return OpenImage(core_, image, request_.result_offset(), 0);
  }

  // The end of the job, and its result.
  absl::Status SendResult(const store::JobRecord& job) {
    // A transfer may still end while the server drains.
    const Activity::Transfer transfer(core_.activity);
    const auto use = core_.uses.Read(job.result_image_id);
    store::ImageRecord image;
    absl::StatusOr<store::BlobReader> reader = OpenResult(job.result_image_id, image);
    HISTEQ_RETURN_IF_ERROR(SendJob(ToProto(job, core_.nodes), job.progress));
    HISTEQ_RETURN_IF_ERROR(reader.status());
    *message_.mutable_result() = ToProto(image);
    HISTEQ_RETURN_IF_ERROR(Send());
    return StreamChunks(*reader, request_.result_offset(), *message_.mutable_chunk(),
                        [this] { return Send(); });
  }

  FrontendCore& core_;
  const ServerCall& call_;
  const v1::WatchJobRequest& request_;
  grpc::ServerWriter<v1::WatchJobResponse>& writer_;
  const std::unique_ptr<CallGuards::Guard> guard_;
  absl::Duration ping_interval_;
  absl::Duration sent_at_;
  v1::WatchJobResponse message_;
  // What was sent last.
  std::string state_;
  store::JobProgress progress_;
};

}  // namespace

absl::Status Watch(FrontendCore& core, const ServerCall& call, const v1::WatchJobRequest& request,
                   grpc::ServerWriter<v1::WatchJobResponse>& writer) {
  HISTEQ_RETURN_IF_ERROR(core.activity.CheckServing());
  HISTEQ_RETURN_IF_ERROR(CheckId(request.job_id(), "job_id"));
  HISTEQ_ASSIGN_OR_RETURN(const auto pass, core.watchers.Enter([&] { return call.cancelled(); }));
  const absl::Duration began = core.clock.Monotonic();
  const absl::Status status = WatchCall(core, call, request, writer).Run();
  rpc::LogEvent(
      status.ok() || absl::IsCancelled(status) ? rpc::LogLevel::kInfo : rpc::LogLevel::kWarning,
      status.ok() ? "watcher_served" : "watcher_left",
      {{"job", request.job_id()},
       {"peer", call.peer()},
       {"duration_s", fmt::format("{:.3f}", absl::ToDoubleSeconds(core.clock.Monotonic() - began))},
       {"why", std::string(status.message())}});
  return status;
}

}  // namespace histeq::frontend
