#include "grpc_operation.h"

#include "base/error.h"
#include "base/status_macros.h"
#include "engine/result_version.h"
#include "fmt/format.h"
#include "google/protobuf/message.h"
#include "google/protobuf/unknown_field_set.h"
#include "rpc/canonical_operation.h"
#include "rpc/operation_convert.h"
#include "store/sha256.h"

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

absl::Status CheckKnown(const google::protobuf::Message& message, const std::string& field) {
  const int number = UnknownField(message);
  return number == 0 ? absl::OkStatus() : NotKnown("UNKNOWN_PARAMETER", field, number);
}

absl::Status CheckKnown(const v1::Operation& operation) {
  if (const int number = UnknownField(operation); number != 0) {
    return NotKnown("UNKNOWN_OPERATION", "operation", number);
  }
  if (operation.has_equalize()) return CheckKnown(operation.equalize(), "operation.equalize");
  if (operation.has_thumbnail()) return CheckKnown(operation.thumbnail(), "operation.thumbnail");
  if (!operation.has_derive()) return absl::OkStatus();
  HISTEQ_RETURN_IF_ERROR(CheckKnown(operation.derive(), "operation.derive"));
  HISTEQ_RETURN_IF_ERROR(CheckKnown(operation.derive().equalize(), "operation.derive.equalize"));
  for (int i = 0; i < operation.derive().thumbnails_size(); ++i) {
    HISTEQ_RETURN_IF_ERROR(CheckKnown(operation.derive().thumbnails(i),
                                      fmt::format("operation.derive.thumbnails[{}]", i)));
  }
  return absl::OkStatus();
}

// The reference is named: by the image's id, or by the SHA-256 of its histogram, which is up to
// 650 KB, once for each result; the job's operation has it.
v1::Equalize Named(const EqualizeParameters& parameters, const std::string& reference_id) {
  v1::Equalize proto = rpc::Canonical(parameters);
  if (!reference_id.empty()) proto.set_reference_image_id(reference_id);
  if (proto.has_reference_histogram()) {
    const std::string counts = proto.reference_histogram().SerializeAsString();
    proto.clear_reference();
    proto.set_reference_histogram_sha256(store::ToBytes(
        store::Sha256Of({reinterpret_cast<const uint8_t*>(counts.data()), counts.size()})));
  }
  return proto;
}

store::JobOutput Output(const v1::Operation& operation, const std::string& tag) {
  store::JobOutput output;
  output.operation = rpc::Serialize(operation);
  output.format_version = engine::kResultVersion;
  output.tag = tag;
  return output;
}

// One for each result, in the order of the results.
std::vector<store::JobOutput> OutputsOf(const engine::Operation& operation,
                                        const std::string& reference_id) {
  using Kind = engine::Operation::Kind;
  std::vector<store::JobOutput> outputs;
  v1::Operation one;
  const bool equalizes =
      operation.kind == Kind::kEqualize || (operation.kind == Kind::kDerive && operation.equalizes);
  if (equalizes) {
    *one.mutable_equalize() = Named(operation.equalize, reference_id);
    outputs.push_back(Output(one, "EQUALIZED"));
  }
  const v1::Equalize equalize = one.equalize();
  if (operation.kind != Kind::kThumbnail && operation.kind != Kind::kDerive) return outputs;
  for (const engine::ThumbnailParameters& thumbnail : operation.thumbnails) {
    if (equalizes) {
      v1::Derive& derive = *one.mutable_derive();
      *derive.mutable_equalize() = equalize;
      derive.clear_thumbnails();
      *derive.add_thumbnails() = rpc::ToProto(thumbnail);
    } else {
      *one.mutable_thumbnail() = rpc::ToProto(thumbnail);
    }
    store::JobOutput& output = outputs.emplace_back(Output(one, "thumb"));
    output.name_suffix = operation.thumbnails.size() == 1
                             ? "_thumb"
                             : fmt::format("_thumb_{}x{}", thumbnail.width, thumbnail.height);
    if (equalizes) output.made_of = 0;
  }
  return outputs;
}

// The Equalize of an operation that has one.
const v1::Equalize* EqualizeOf(const v1::Operation& operation) {
  if (operation.has_equalize()) return &operation.equalize();
  return operation.derive().has_equalize() ? &operation.derive().equalize() : nullptr;
}

// Samples are widened to 8 or 16 bits.
uint32_t Depth(uint32_t bits_per_sample) { return bits_per_sample <= 8 ? 8 : 16; }

}  // namespace

absl::StatusOr<RequestedOperation> ReadOperation(const v1::Operation& operation) {
  HISTEQ_RETURN_IF_ERROR(CheckKnown(operation));
  if (operation.has_analyze()) {
    return base::MakeError(absl::StatusCode::kUnimplemented,
                           "analyze is not a job of its own: call GetHistogram",
                           {.reason = "NOT_OFFERED", .field = "operation.analyze"});
  }
  if (operation.has_inspect()) {
    return base::MakeError(absl::StatusCode::kUnimplemented,
                           "inspect is not a job of its own: call RegisterImage",
                           {.reason = "NOT_OFFERED", .field = "operation.inspect"});
  }
  RequestedOperation requested;
  HISTEQ_ASSIGN_OR_RETURN(requested.operation, rpc::OperationFromProto(operation));
  requested.spec.operation = rpc::Serialize(operation);
  const v1::Equalize* equalize = EqualizeOf(operation);
  if (equalize != nullptr && requested.operation.reads_reference) {
    requested.spec.reference_image_id = equalize->reference_image_id();
  }
  requested.spec.outputs = OutputsOf(requested.operation, requested.spec.reference_image_id);
  return requested;
}

v1::Operation OperationOf(const store::Lease& lease) {
  v1::Operation operation;
  operation.ParseFromString(lease.job.spec.operation);
  if (lease.outputs.size() == lease.job.spec.outputs.size() || !operation.has_derive()) {
    return operation;
  }
  v1::Derive left;
  const uint32_t first_thumbnail = operation.derive().has_equalize() ? 1 : 0;
  for (const uint32_t output : lease.outputs) {
    if (output < first_thumbnail) {
      *left.mutable_equalize() = operation.derive().equalize();
    } else {
      *left.add_thumbnails() =
          operation.derive().thumbnails(static_cast<int>(output - first_thumbnail));
    }
  }
  if (left.thumbnails().empty()) {
    *operation.mutable_equalize() = left.equalize();
  } else {
    *operation.mutable_derive() = std::move(left);
  }
  return operation;
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
  // The catalog says what is to be done.
  if (reference->unread) return absl::OkStatus();
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
