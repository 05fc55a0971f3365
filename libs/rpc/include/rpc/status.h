#pragma once

// The one place where absl::Status becomes a gRPC status, and back.

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace histeq::rpc {

// The same code and message; base::ErrorDetail becomes google.rpc.ErrorInfo (domain "histeq"),
// RetryInfo and BadRequest in the status details. Messages are cut so that the trailers stay below
// the peer's metadata limit.
grpc::Status ToGrpc(const absl::Status& status);

// The reverse. Details that cannot be read are left out.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace histeq::rpc
