// DownloadImage: a range of an image's bytes.

#include <memory>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "grpc_blob_stream.h"
#include "grpc_convert.h"
#include "grpc_frontend_service.h"
#include "request_checks.h"
#include "rpc/event_log.h"

namespace histeq::frontend {

absl::Status Download(FrontendCore& core, const ServerCall& call,
                      const v1::DownloadImageRequest& request,
                      grpc::ServerWriter<v1::DownloadImageResponse>& writer) {
  HISTEQ_RETURN_IF_ERROR(core.activity.CheckServing());
  HISTEQ_RETURN_IF_ERROR(CheckId(request.image_id(), "image_id"));
  HISTEQ_ASSIGN_OR_RETURN(const auto pass, core.downloads.Enter([&] { return call.cancelled(); }));
  HISTEQ_RETURN_IF_ERROR(core.activity.CheckServing());
  const Activity::Transfer transfer(core.activity);
  const absl::Duration began = core.clock.Monotonic();
  const auto use = core.uses.Read(request.image_id());
  HISTEQ_ASSIGN_OR_RETURN(const store::ImageRecord image,
                          core.catalog.GetImage(request.image_id()));
  HISTEQ_ASSIGN_OR_RETURN(store::BlobReader reader,
                          OpenImage(core, image, request.offset(), request.limit()));
  const auto guard = core.guards.Watch(call.ender(), "nothing was taken");
  v1::DownloadImageResponse message;
  const auto send = [&]() -> absl::Status {
    guard->Expect(core.options.download_idle_timeout);
    const bool sent = writer.Write(message);
    guard->Pause();
    if (sent) return absl::OkStatus();
    HISTEQ_RETURN_IF_ERROR(call.WhyBroken());
    return absl::CancelledError("the client has gone");
  };
  *message.mutable_image() = ToProto(image);
  absl::Status status = send();
  if (status.ok()) {
    status = StreamChunks(reader, request.offset(), *message.mutable_chunk(), send);
  }
  rpc::LogEvent(
      status.ok() || absl::IsCancelled(status) ? rpc::LogLevel::kInfo : rpc::LogLevel::kWarning,
      status.ok() ? "image_downloaded" : "download_ended",
      {{"image", image.id},
       {"peer", call.peer()},
       {"offset", fmt::format("{}", request.offset())},
       {"bytes", fmt::format("{}", reader.size_bytes)},
       {"duration_s", fmt::format("{:.3f}", absl::ToDoubleSeconds(core.clock.Monotonic() - began))},
       {"error", std::string(status.message())}});
  return status;
}

}  // namespace histeq::frontend
