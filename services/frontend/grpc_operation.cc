#include "grpc_operation.h"

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/message.h"
#include "google/protobuf/unknown_field_set.h"
#include "rpc/operation_convert.h"

namespace histeq::frontend {
namespace {

// A field of the message that a newer client knows and we do not; 0: none.
int UnknownField(const google::protobuf::Message& message) {
  const auto& fields = message.GetReflection()->GetUnknownFields(message);
  return fields.empty() ? 0 : fields.field(0).number();
}

absl::Status NotKnown(const char* reason, const std::string& field, int number) {
  return base::MakeError(
      absl::StatusCode::kUnimplemented,
      fmt::format("this version does not know field {} of {}: it was made for a newer one", number,
                  field),
      {.reason = reason, .metadata = {{"actual", std::to_string(number)}}, .field = field});
}

// Samples are widened to 8 or 16 bits.
uint32_t Depth(uint32_t bits_per_sample) { return bits_per_sample <= 8 ? 8 : 16; }

}  // namespace

std::string Serialize(const v1::Operation& operation) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  operation.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

absl::StatusOr<RequestedOperation> ReadOperation(const v1::Operation& operation) {
  if (const int number = UnknownField(operation); number != 0) {
    return NotKnown("UNKNOWN_OPERATION", "operation", number);
  }
  if (operation.has_equalize()) {
    if (const int number = UnknownField(operation.equalize()); number != 0) {
      return NotKnown("UNKNOWN_PARAMETER", "operation.equalize", number);
    }
  }
  if (operation.has_analyze()) {
    return base::MakeError(absl::StatusCode::kUnimplemented,
                           "analyze is not a job of its own: call GetHistogram",
                           {.reason = "NOT_OFFERED", .field = "operation.analyze"});
  }
  RequestedOperation requested;
  HISTEQ_ASSIGN_OR_RETURN(requested.operation, rpc::OperationFromProto(operation));
  requested.spec.operation = Serialize(operation);
  requested.spec.result_tag = "EQUALIZED";
  requested.spec.reference_image_id = rpc::ReferenceImageId(operation);
  return requested;
}

absl::Status CheckFits(const RequestedOperation& requested, const codec::ImageInfo& info,
                       store::Catalog& catalog) {
  HISTEQ_RETURN_IF_ERROR(engine::CheckOperation(requested.operation, info));
  const std::string& reference_id = requested.spec.reference_image_id;
  if (reference_id.empty()) return absl::OkStatus();
  const absl::StatusOr<store::ImageRecord> reference = catalog.GetImage(reference_id);
  const std::string field = "operation.equalize.reference_image_id";
  if (absl::IsNotFound(reference.status())) {
    return base::MakeError(
        absl::StatusCode::kNotFound, fmt::format("there is no reference image {}", reference_id),
        {.reason = "IMAGE_NOT_FOUND", .metadata = {{"id", reference_id}}, .field = field});
  }
  HISTEQ_RETURN_IF_ERROR(reference.status());
  const uint32_t depth = Depth(info.bits_per_sample);
  const uint32_t actual = Depth(reference->facts.bits_per_sample);
  if (depth == actual) return absl::OkStatus();
  return base::MakeError(
      absl::StatusCode::kInvalidArgument,
      fmt::format("the reference image has {} bits per sample, the image {}", actual, depth),
      {.reason = "BAD_PARAMETER",
       .metadata = {{"limit", fmt::format("an image of {} bits per sample", depth)},
                    {"actual", std::to_string(actual)}},
       .field = field});
}

ImageCheck CheckOf(const RequestedOperation& requested, store::Catalog& catalog) {
  return [requested, &catalog](const codec::ImageInfo& info) {
    return CheckFits(requested, info, catalog);
  };
}

}  // namespace histeq::frontend
