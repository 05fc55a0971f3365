// UploadImage: bytes from the network to the blob store, then one transaction.

#include <memory>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "grpc_convert.h"
#include "grpc_frontend_service.h"
#include "grpc_operation.h"
#include "request_checks.h"
#include "rpc/chunk.h"
#include "rpc/event_log.h"
#include "rpc/write_behind.h"
#include "upload_session.h"

namespace histeq::frontend {
namespace {

using Header = v1::UploadImageRequest::Header;

absl::Status OutOfOrder(const std::string& message) {
  return base::MakeError(absl::StatusCode::kInvalidArgument, message,
                         {.reason = "BAD_MESSAGE_ORDER", .field = "message"});
}

absl::Status TooSlow(uint64_t limit, uint64_t actual, absl::Duration window) {
  return base::MakeError(
      absl::StatusCode::kDeadlineExceeded,
      fmt::format("{} bytes came in {}, at least {} must: go on from there", actual,
                  absl::FormatDuration(window), limit),
      {.reason = "IDLE_TIMEOUT",
       .metadata = {{"limit", std::to_string(limit)}, {"actual", std::to_string(actual)}},
       .retry_after = absl::Seconds(1)});
}

struct Announced {
  store::UploadHeader header;
  ImageCheck check;
};

absl::StatusOr<Announced> ReadHeader(FrontendCore& core, const Header& proto) {
  Announced announced;
  HISTEQ_RETURN_IF_ERROR(CheckId(proto.upload_id(), "header.upload_id"));
  HISTEQ_RETURN_IF_ERROR(CheckImageName(proto.name(), "header.name"));
  announced.header.upload_id = proto.upload_id();
  announced.header.name = proto.name();
  if (proto.has_size_bytes()) announced.header.size_bytes = proto.size_bytes();
  HISTEQ_ASSIGN_OR_RETURN(announced.header.sha256, ReadSha256(proto.sha256(), "header.sha256"));
  if (proto.has_operation()) {
    HISTEQ_ASSIGN_OR_RETURN(RequestedOperation requested, ReadOperation(proto.operation()));
    announced.header.job = requested.spec;
    announced.check = CheckOf(requested, core.catalog);
  }
  return announced;
}

// One call, with what its end says in the log.
class UploadCall {
 public:
  UploadCall(FrontendCore& core, const ServerCall& call,
             grpc::ServerReader<v1::UploadImageRequest>& reader)
      : core_(core),
        call_(call),
        reader_(reader),
        began_(core.clock.Monotonic()),
        guard_(core.guards.Watch(call.ender(), "no chunk came")) {}

  absl::StatusOr<store::FinishedUpload> Run() {
    HISTEQ_RETURN_IF_ERROR(core_.activity.CheckServing());
    HISTEQ_ASSIGN_OR_RETURN(const auto pass,
                            core_.uploads.Enter([this] { return call_.cancelled(); }));
    // The drain may have begun while this call waited.
    HISTEQ_RETURN_IF_ERROR(core_.activity.CheckServing());
    const Activity::Transfer transfer(core_.activity);
    if (!Read() || !message_.has_header()) {
      HISTEQ_RETURN_IF_ERROR(call_.WhyBroken());
      return OutOfOrder("an upload begins with a header");
    }
    upload_id_ = CutText(message_.header().upload_id(), 128);
    name_ = CutText(message_.header().name(), 255);
    HISTEQ_ASSIGN_OR_RETURN(const Announced announced, ReadHeader(core_, message_.header()));
    HISTEQ_ASSIGN_OR_RETURN(
        session_, UploadSession::Begin(core_.catalog, core_.blobs, core_.clock, announced.header,
                                       core_.options.upload_limits(), announced.check));
    if (session_->finished().has_value()) return *session_->finished();
    first_ = session_->size_bytes();
    size_ = window_first_ = first_;
    silent_ = window_ = absl::ZeroDuration();
    rpc::LogEvent(rpc::LogLevel::kInfo, "upload_started",
                  {{"upload", upload_id_},
                   {"name", name_},
                   {"peer", call_.peer()},
                   {"offset", fmt::format("{}", first_)},
                   {"bytes", announced.header.size_bytes.has_value()
                                 ? fmt::format("{}", *announced.header.size_bytes)
                                 : std::string()},
                   {"job", announced.header.job.has_value() ? "yes" : "no"}});
    HISTEQ_RETURN_IF_ERROR(Receive());
    HISTEQ_RETURN_IF_ERROR(call_.WhyBroken());
    if (!ended_ && !announced.header.size_bytes.has_value()) {
      // The end of the stream alone says that this is all, and a broken connection may become known
      // a moment after the read that it made fail: look again when the bytes are on the disk.
      HISTEQ_RETURN_IF_ERROR(session_->Sync());
      HISTEQ_RETURN_IF_ERROR(call_.WhyBroken());
    }
    return session_->Finish(sha256_);
  }

  void LogStored(const store::FinishedUpload& finished) const {
    const double seconds = absl::ToDoubleSeconds(core_.clock.Monotonic() - began_);
    const uint64_t received =
        finished.already_finished ? 0 : finished.image.facts.size_bytes - first_;
    rpc::LogEvent(
        rpc::LogLevel::kInfo, finished.already_finished ? "upload_repeated" : "upload_stored",
        {{"upload", upload_id_},
         {"image", finished.image.id},
         {"name", finished.image.name},
         {"job", finished.job.has_value() ? finished.job->id : std::string()},
         {"peer", call_.peer()},
         {"bytes", fmt::format("{}", finished.image.facts.size_bytes)},
         {"received", fmt::format("{}", received)},
         {"pixels", fmt::format("{}x{}", finished.image.facts.width, finished.image.facts.height)},
         {"duration_s", fmt::format("{:.3f}", seconds)}});
    if (finished.job.has_value() && !finished.already_finished) {
      rpc::LogEvent(rpc::LogLevel::kInfo, "job_requested",
                    {{"job", finished.job->id},
                     {"image", finished.image.id},
                     {"state", v1::JobState_Name(static_cast<v1::JobState>(finished.job->state))},
                     {"upload", upload_id_},
                     {"peer", call_.peer()}});
    }
  }

  void LogFailed(const absl::Status& status) const {
    const auto detail = base::GetErrorDetail(status);
    const bool interrupted = absl::IsCancelled(status) || absl::IsDeadlineExceeded(status);
    rpc::LogEvent(
        interrupted ? rpc::LogLevel::kInfo : rpc::LogLevel::kWarning,
        interrupted ? "upload_interrupted" : "upload_refused",
        {{"upload", upload_id_},
         {"name", name_},
         {"peer", call_.peer()},
         {"bytes", session_ == nullptr || session_->finished().has_value()
                       ? std::string()
                       : fmt::format("{}", session_->size_bytes())},
         {"code", absl::StatusCodeToString(status.code())},
         {"reason", detail.has_value() ? detail->reason : std::string()},
         {"error", std::string(status.message())},
         {"duration_s",
          fmt::format("{:.3f}", absl::ToDoubleSeconds(core_.clock.Monotonic() - began_))}});
  }

 private:
  // All that follows the header. Whatever ends the stream, what came before is stored.
  absl::Status Receive() {
    rpc::WriteBehind behind(
        [this](std::span<const uint8_t> bytes) { return session_->Write(bytes); });
    const absl::Status received = ReceiveInto(behind);
    HISTEQ_RETURN_IF_ERROR(behind.Flush());
    return received;
  }

  absl::Status ReceiveInto(rpc::WriteBehind& behind) {
    while (Read()) {
      if (ended_) return OutOfOrder("nothing comes after the finish of an upload");
      if (message_.has_finish()) {
        HISTEQ_ASSIGN_OR_RETURN(sha256_, ReadSha256(message_.finish().sha256(), "finish.sha256"));
        ended_ = true;
      } else if (message_.has_chunk()) {
        HISTEQ_RETURN_IF_ERROR(rpc::CheckChunk(message_.chunk(), size_));
        const uint64_t bytes = message_.chunk().data().size();
        HISTEQ_RETURN_IF_ERROR(behind.Push(*message_.mutable_chunk()->mutable_data()));
        size_ += bytes;
        if (bytes > 0) silent_ = absl::ZeroDuration();
        HISTEQ_RETURN_IF_ERROR(CheckProgress());
      } else {
        return OutOfOrder("after its header an upload has chunks, then at most one finish");
      }
    }
    return absl::OkStatus();
  }

  bool Read() {
    guard_->Expect(core_.options.upload_idle_timeout, silent_);
    const absl::Duration asked = core_.clock.Monotonic();
    const bool more = reader_.Read(&message_);
    guard_->Pause();
    const absl::Duration waited = core_.clock.Monotonic() - asked;
    silent_ += waited;
    window_ += waited;
    return more;
  }

  // Only bytes count as a sign of life: a place is not held by empty chunks, or a byte now and
  // then.
  absl::Status CheckProgress() {
    const absl::Duration window = core_.options.upload_rate_window;
    if (window_ < window) return absl::OkStatus();
    const uint64_t came = size_ - window_first_;
    const auto wanted = static_cast<uint64_t>(absl::ToDoubleSeconds(window) *
                                              static_cast<double>(core_.options.min_upload_rate));
    if (came < wanted) return TooSlow(wanted, came, window);
    window_first_ = size_;
    window_ = absl::ZeroDuration();
    return absl::OkStatus();
  }

  FrontendCore& core_;
  const ServerCall& call_;
  grpc::ServerReader<v1::UploadImageRequest>& reader_;
  const absl::Duration began_;
  const std::unique_ptr<CallGuards::Guard> guard_;
  v1::UploadImageRequest message_;
  std::unique_ptr<UploadSession> session_;
  std::string upload_id_;
  std::string name_;
  // Stored by earlier calls.
  uint64_t first_ = 0;
  // Time for which the sender was waited for since the last byte, and in the present window.
  absl::Duration silent_;
  absl::Duration window_;
  // Stored or on the way there, now and when the window began: where the next chunk begins.
  uint64_t size_ = 0;
  uint64_t window_first_ = 0;
  // The finish has come, and what it said.
  bool ended_ = false;
  std::optional<store::Sha256Digest> sha256_;
};

}  // namespace

absl::Status Upload(FrontendCore& core, const ServerCall& call,
                    grpc::ServerReader<v1::UploadImageRequest>& reader,
                    v1::UploadImageResponse& response) {
  UploadCall upload(core, call, reader);
  const absl::StatusOr<store::FinishedUpload> finished = upload.Run();
  if (!finished.ok()) {
    upload.LogFailed(finished.status());
    return finished.status();
  }
  upload.LogStored(*finished);
  *response.mutable_image() = ToProto(finished->image);
  if (finished->job.has_value()) *response.mutable_job() = ToProto(*finished->job, core.nodes);
  return absl::OkStatus();
}

}  // namespace histeq::frontend
