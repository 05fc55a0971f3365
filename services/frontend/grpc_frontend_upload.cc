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
#include "upload_session.h"

namespace histeq::frontend {
namespace {

using Header = v1::UploadImageRequest::Header;

absl::Status OutOfOrder(const std::string& message) {
  return base::MakeError(absl::StatusCode::kInvalidArgument, message,
                         {.reason = "BAD_MESSAGE_ORDER", .field = "message"});
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
        session_, UploadSession::Begin(
                      core_.catalog, core_.blobs, core_.clock, announced.header,
                      {.max_bytes = core_.options.max_upload_bytes, .decode = core_.options.decode},
                      announced.check));
    if (session_->finished().has_value()) return *session_->finished();
    first_ = session_->size_bytes();
    rpc::LogEvent(rpc::LogLevel::kInfo, "upload_started",
                  {{"upload", upload_id_},
                   {"name", name_},
                   {"peer", call_.peer()},
                   {"offset", fmt::format("{}", first_)},
                   {"bytes", announced.header.size_bytes.has_value()
                                 ? fmt::format("{}", *announced.header.size_bytes)
                                 : std::string()},
                   {"job", announced.header.job.has_value() ? "yes" : "no"}});
    bool ended = false;
    std::optional<store::Sha256Digest> sha256;
    while (Read()) {
      if (ended) return OutOfOrder("nothing comes after the finish of an upload");
      if (message_.has_finish()) {
        HISTEQ_ASSIGN_OR_RETURN(sha256, ReadSha256(message_.finish().sha256(), "finish.sha256"));
        ended = true;
      } else if (message_.has_chunk()) {
        HISTEQ_RETURN_IF_ERROR(rpc::CheckChunk(message_.chunk(), session_->size_bytes()));
        HISTEQ_RETURN_IF_ERROR(session_->Write(rpc::BytesOf(message_.chunk())));
      } else {
        return OutOfOrder("after its header an upload has chunks, then at most one finish");
      }
    }
    HISTEQ_RETURN_IF_ERROR(call_.WhyBroken());
    if (!ended && !announced.header.size_bytes.has_value()) {
      // The end of the stream alone says that this is all, and a broken connection may become known
      // a moment after the read that it made fail: look again when the bytes are on the disk.
      HISTEQ_RETURN_IF_ERROR(session_->Sync());
      HISTEQ_RETURN_IF_ERROR(call_.WhyBroken());
    }
    return session_->Finish(sha256);
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
  bool Read() {
    guard_->Expect(core_.options.upload_idle_timeout);
    const bool more = reader_.Read(&message_);
    guard_->Pause();
    return more;
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
