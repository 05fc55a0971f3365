#include "api/watch.h"

#include <algorithm>
#include <utility>

#include "api/connection.h"
#include "api/guarded_call.h"
#include "api/patience.h"
#include "api/resumption.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "rpc/proto_convert.h"

namespace histeq::client {
namespace {

class Watch {
 public:
  Watch(Client& client, const std::string& job_id, const WatchOptions& options,
        const CallControl& control)
      : connection_(client.connection()),
        job_id_(job_id),
        options_(options),
        control_(control),
        bytes_(0, 0, options.open_result, options.received),
        patience_(connection_.options, control),
        resumption_(bytes_, patience_, control) {}

  absl::StatusOr<Watched> Run() {
    while (!Complete()) {
      const absl::Status status = Attach();
      if (Complete()) break;
      HISTEQ_RETURN_IF_ERROR(resumption_.After(
          status.ok() ? absl::UnavailableError("the stream ended before the job did") : status));
    }
    Watched watched;
    if (bytes_.begun()) {
      HISTEQ_RETURN_IF_ERROR(bytes_.Finish());
      watched.result = bytes_.image();
    } else if (options_.open_result && watched_.state() == v1::JOB_STATE_SUCCEEDED) {
      return base::MakeError(absl::StatusCode::kFailedPrecondition,
                             fmt::format("job {} has no result to download", job_id_),
                             {.reason = "NO_RESULT"});
    }
    watched.job = std::move(watched_);
    return watched;
  }

 private:
  bool Complete() const {
    if (!IsFinal(watched_.state())) return false;
    if (watched_.state() != v1::JOB_STATE_SUCCEEDED || !options_.open_result) return true;
    return watched_.result_image_id().empty() || bytes_.complete();
  }

  absl::Status Attach() {
    v1::WatchJobRequest request;
    request.set_job_id(job_id_);
    *request.mutable_ping_interval() = rpc::ToProto(connection_.options.ping_interval);
    request.set_send_result(static_cast<bool>(options_.open_result));
    request.set_result_offset(bytes_.offset());
    GuardedCall call(
        connection_, patience_.remaining(),
        std::min(connection_.options.stall_timeout, 3 * connection_.options.ping_interval),
        control_.token);
    const auto reader = connection_.stub->WatchJob(&call.context(), request);
    v1::WatchJobResponse response;
    for (;;) {
      call.Begin();
      if (!reader->Read(&response)) break;
      call.Pause();
      patience_.Contact();
      resumption_.Established();
      if (absl::Status failure = Take(response); !failure.ok()) {
        call.Cancel();
        reader->Finish();
        return failure;
      }
    }
    return call.Result(reader->Finish());
  }

  absl::Status Take(v1::WatchJobResponse& response) {
    switch (response.event_case()) {
      case v1::WatchJobResponse::kJob: {
        const bool changed = response.job().state() != watched_.state();
        watched_ = std::move(*response.mutable_job());
        if (changed) patience_.Progress();
        if (changed && options_.job) options_.job(watched_);
        if (options_.progress && watched_.state() == v1::JOB_STATE_RUNNING &&
            watched_.has_progress()) {
          options_.progress(watched_.progress());
        }
        return absl::OkStatus();
      }
      case v1::WatchJobResponse::kProgress:
        if (options_.progress) options_.progress(response.progress());
        return absl::OkStatus();
      case v1::WatchJobResponse::kResult:
        return bytes_.Begin(response.result());
      case v1::WatchJobResponse::kChunk:
        return bytes_.Take(*response.mutable_chunk());
      case v1::WatchJobResponse::kPing:
      case v1::WatchJobResponse::EVENT_NOT_SET:
        return absl::OkStatus();
    }
    return absl::OkStatus();
  }

  Connection& connection_;
  const std::string& job_id_;
  const WatchOptions& options_;
  const CallControl& control_;
  ReceivedBytes bytes_;
  Patience patience_;
  Resumption resumption_;
  // As it was last seen.
  v1::Job watched_;
};

}  // namespace

absl::StatusOr<Watched> WatchJob(Client& client, const std::string& job_id,
                                 const WatchOptions& options, const CallControl& control) {
  return Watch(client, job_id, options, control).Run();
}

bool IsFinal(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED ||
         state == v1::JOB_STATE_CANCELLED;
}

absl::Status JobFailure(const v1::Job& job) {
  if (job.state() == v1::JOB_STATE_CANCELLED) {
    return base::MakeError(absl::StatusCode::kCancelled,
                           fmt::format("job {} was cancelled", job.id()),
                           {.reason = "JOB_CANCELLED"});
  }
  if (job.state() != v1::JOB_STATE_FAILED) return absl::OkStatus();
  base::ErrorDetail detail;
  detail.reason = job.error().reason();
  for (const auto& [key, value] : job.error().metadata()) detail.metadata[key] = value;
  const int code = job.error().code();
  return base::MakeError(
      code >= 1 && code <= 16 ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown,
      job.error().message().empty() ? "the job failed" : job.error().message(), std::move(detail));
}

}  // namespace histeq::client
