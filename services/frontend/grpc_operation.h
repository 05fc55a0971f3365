#pragma once

// Operations of requests: what the catalog keeps of them, and whether they fit an image.

#include <string>

#include "absl/status/statusor.h"
#include "codec/image_info.h"
#include "engine/operation.h"
#include "histeq/v1/operation.pb.h"
#include "image_probe.h"
#include "store/catalog.h"

namespace histeq::frontend {

struct RequestedOperation {
  store::JobSpec spec;
  engine::Operation operation;
};

// What a client may ask for.
// - INVALID_ARGUMENT BAD_PARAMETER, UNKNOWN_OPERATION (no kind is set).
// - UNIMPLEMENTED NOT_OFFERED: Analyze and Inspect, which GetHistogram and RegisterImage queue, or
//   what rpc::OperationFromProto refuses. UNKNOWN_OPERATION, UNKNOWN_PARAMETER: fields that this
//   version does not know.
absl::StatusOr<RequestedOperation> ReadOperation(const v1::Operation& operation);

// What the holder of the lease is to do: the job's operation, without the results that are there.
v1::Operation OperationOf(const store::Lease& lease);

// Whether the operation can be done to an image, also with its reference image.
// - INVALID_ARGUMENT BAD_PARAMETER. NOT_FOUND IMAGE_NOT_FOUND: the reference.
absl::Status CheckFits(const RequestedOperation& requested, const codec::ImageInfo& info,
                       store::Catalog& catalog);

// As a check for sessions. `catalog` outlives it.
ImageCheck CheckOf(const RequestedOperation& requested, store::Catalog& catalog);

}  // namespace histeq::frontend
