#include "rpc/canonical_operation.h"

#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "rpc/operation_convert.h"

namespace histeq::rpc {

v1::Equalize Canonical(const EqualizeParameters& parameters) {
  v1::Equalize proto = ToProto(parameters);
  const bool clahe = parameters.method == Method::kClahe;
  if (!clahe && parameters.method != Method::kClipLimited) proto.clear_clip_limit();
  if (!clahe) {
    proto.clear_grid_x();
    proto.clear_grid_y();
  }
  if (parameters.method != Method::kMatch) proto.clear_reference();
  if (parameters.method != Method::kStretch) {
    proto.clear_percentile_low();
    proto.clear_percentile_high();
  }
  return proto;
}

v1::Operation Canonical(const v1::Operation& operation) {
  const absl::StatusOr<engine::Operation> read = OperationFromProto(operation);
  if (!read.ok()) return operation;
  v1::Operation proto = operation;
  const auto equalize = [&](v1::Equalize& to) {
    to = Canonical(read->equalize);
    if (read->reads_reference) to.set_reference_image_id(ReferenceImageId(operation));
  };
  if (proto.has_equalize()) {
    equalize(*proto.mutable_equalize());
  } else if (proto.has_thumbnail()) {
    *proto.mutable_thumbnail() = ToProto(read->thumbnails.front());
  } else if (proto.has_derive()) {
    v1::Derive& derive = *proto.mutable_derive();
    if (read->equalizes) equalize(*derive.mutable_equalize());
    derive.clear_thumbnails();
    for (const auto& thumbnail : read->thumbnails) *derive.add_thumbnails() = ToProto(thumbnail);
  }
  return proto;
}

std::string Serialize(const v1::Operation& operation) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  operation.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

}  // namespace histeq::rpc
