// RegisterImage: a file that lies elsewhere.

#include <algorithm>
#include <cctype>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "grpc_convert.h"
#include "grpc_frontend_service.h"
#include "grpc_operation.h"
#include "image_probe.h"
#include "request_checks.h"
#include "rpc/canonical_operation.h"
#include "rpc/event_log.h"
#include "store/file_roots.h"
#include "store/location.h"

namespace histeq::frontend {
namespace {

constexpr size_t kMaxImageIdBytes = 64;

absl::Status CheckImageId(const std::string& id) {
  const bool begins_well = !id.empty() && std::isalnum(static_cast<unsigned char>(id.front())) != 0;
  if (begins_well && id.size() <= kMaxImageIdBytes && CheckId(id, "id").ok()) {
    return absl::OkStatus();
  }
  return base::MakeError(
      absl::StatusCode::kInvalidArgument,
      fmt::format("an image's id has 1 to {} characters of [0-9A-Za-z._-], the first a letter or "
                  "digit",
                  kMaxImageIdBytes),
      {.reason = "BAD_ID",
       .metadata = {{"limit", std::to_string(kMaxImageIdBytes)},
                    {"actual", std::to_string(id.size())}},
       .field = "id"});
}

}  // namespace

absl::Status Register(FrontendCore& core, const ServerCall& call,
                      const v1::RegisterImageRequest& request,
                      v1::RegisterImageResponse& response) {
  HISTEQ_RETURN_IF_ERROR(core.activity.CheckServing());
  HISTEQ_RETURN_IF_ERROR(CheckImageId(request.id()));
  HISTEQ_ASSIGN_OR_RETURN(const store::Location location, store::ParseLocation(request.location()));
  store::FileRegistration registration;
  registration.image_id = request.id();
  registration.location = store::FormatLocation(location);
  registration.name = store::FileNameOf(location);
  // Bytes of a file system need not be a name.
  if (!CheckImageName(registration.name, "name").ok()) registration.name = request.id();
  v1::Operation inspect;
  inspect.mutable_inspect();
  registration.inspect.operation = rpc::Serialize(inspect);
  registration.inspect.inspects = true;
  if (request.has_operation()) {
    HISTEQ_ASSIGN_OR_RETURN(const RequestedOperation requested, ReadOperation(request.operation()));
    registration.job = requested.spec;
    const absl::StatusOr<store::ImageRecord> image = core.catalog.GetImage(request.id());
    if (image.ok() && !image->unread && image->facts.location == registration.location) {
      HISTEQ_RETURN_IF_ERROR(CheckFits(requested, InfoOf(image->facts), core.catalog));
    }
  }
  if (location.kind == store::Location::Kind::kNode) {
    registration.storage = location.node;
  } else {
    HISTEQ_ASSIGN_OR_RETURN(const store::RootedFile file, core.file_roots.OpenFile(location.path));
    HISTEQ_RETURN_IF_ERROR(
        store::CheckFileSize(file.stamp().size_bytes, core.options.max_registered_bytes));
    registration.size_bytes = file.stamp().size_bytes;
    registration.modify_time = file.stamp().modify_time;
  }
  HISTEQ_ASSIGN_OR_RETURN(const store::RegisteredImage registered,
                          core.catalog.RegisterImage(registration));
  *response.mutable_image() = ToProto(registered.image);
  if (registered.job.has_value()) {
    *response.mutable_job() = ToProto(*registered.job, core.nodes);
  }
  rpc::LogEvent(rpc::LogLevel::kInfo, "image_registered",
                {{"image", registered.image.id},
                 {"location", registered.image.facts.location},
                 {"inspection",
                  registered.inspection.has_value() ? registered.inspection->id : std::string()},
                 {"job", registered.job.has_value() ? registered.job->id : std::string()},
                 {"peer", call.peer()}});
  return absl::OkStatus();
}

}  // namespace histeq::frontend
