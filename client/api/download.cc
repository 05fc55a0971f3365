#include "api/download.h"

#include <utility>

#include "api/connection.h"
#include "api/guarded_call.h"
#include "api/patience.h"
#include "api/resumption.h"
#include "base/status_macros.h"

namespace histeq::client {
namespace {

// One stream, from where the bytes stand. OK: it ended well, all bytes are there.
absl::Status ReceiveOnce(Connection& connection, const std::string& image_id,
                         const DownloadOptions& options, ReceivedBytes& bytes, Patience& patience,
                         Resumption& resumption, const CallControl& control) {
  v1::DownloadImageRequest request;
  request.set_image_id(image_id);
  request.set_offset(bytes.offset());
  if (options.limit > 0) request.set_limit(bytes.begun() ? bytes.left() : options.limit);
  GuardedCall call(connection, patience.remaining(), connection.options.stall_timeout,
                   control.token);
  const auto reader = connection.stub->DownloadImage(&call.context(), request);
  v1::DownloadImageResponse response;
  absl::Status failure;
  for (;;) {
    call.Begin();
    if (!reader->Read(&response)) break;
    call.Pause();
    patience.Contact();
    resumption.Established();
    if (response.has_image()) failure = bytes.Begin(response.image());
    if (response.has_chunk()) failure = bytes.Take(*response.mutable_chunk());
    if (!failure.ok()) {
      call.Cancel();
      reader->Finish();
      return failure;
    }
  }
  HISTEQ_RETURN_IF_ERROR(call.Result(reader->Finish()));
  return bytes.complete() ? absl::OkStatus()
                          : absl::UnavailableError("the stream ended before the last byte");
}

}  // namespace

absl::StatusOr<v1::Image> DownloadImage(Client& client, const std::string& image_id,
                                        const DownloadOptions& options, const OpenSink& open,
                                        const CallControl& control) {
  Connection& connection = client.connection();
  ReceivedBytes bytes(options.offset, options.limit, open, options.received);
  Patience patience(connection.options, control);
  Resumption resumption(bytes, patience, control);
  // All bytes and a broken end are all bytes.
  while (!bytes.complete()) {
    const absl::Status status =
        ReceiveOnce(connection, image_id, options, bytes, patience, resumption, control);
    if (!status.ok() && !bytes.complete()) HISTEQ_RETURN_IF_ERROR(resumption.After(status));
  }
  HISTEQ_RETURN_IF_ERROR(bytes.Finish());
  return bytes.image();
}

}  // namespace histeq::client
