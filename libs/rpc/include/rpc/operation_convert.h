#pragma once

// Operations of the contract as the engine takes them.

#include <string>

#include "absl/status/statusor.h"
#include "engine/operation.h"
#include "histeq/v1/operation.pb.h"

namespace histeq::rpc {

// Defaults filled in, fractions rounded to fixed point as the contract says.
// - INVALID_ARGUMENT BAD_PARAMETER: a value outside its range, whatever the image (`field` in proto
//   notation, beginning with `operation.`; metadata "limit"); no kind set (UNKNOWN_OPERATION).
// - UNIMPLEMENTED NOT_OFFERED: a kind that this version does not do.
absl::StatusOr<engine::Operation> OperationFromProto(const v1::Operation& operation);

// The inverse, all fields set: what coordinators send to workers.
v1::Equalize ToProto(const EqualizeParameters& parameters);
v1::Thumbnail ToProto(const engine::ThumbnailParameters& parameters);
v1::Operation ToProto(const engine::Operation& operation);

// The stored image that the operation reads beside its source; empty: none.
std::string ReferenceImageId(const v1::Operation& operation);

}  // namespace histeq::rpc
