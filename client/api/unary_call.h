#pragma once

// A call with one answer, made again until it is there. Inside of the client library.

#include "absl/status/statusor.h"
#include "api/connection.h"
#include "api/guarded_call.h"
#include "api/patience.h"
#include "base/status_macros.h"

namespace histeq::client {

template <typename Request, typename Response>
using UnaryMethod = grpc::Status (v1::Frontend::StubInterface::*)(grpc::ClientContext*,
                                                                  const Request&, Response*);

// One try, with the caller's patience: for calls that are part of something larger. Takes at most
// `timeout`.
template <typename Request, typename Response>
absl::StatusOr<Response> CallOnce(Connection& connection, UnaryMethod<Request, Response> method,
                                  const Request& request, const Patience& patience,
                                  const CallControl& control, absl::Duration timeout) {
  GuardedCall call(connection, patience.remaining(), timeout, control.token);
  Response response;
  HISTEQ_RETURN_IF_ERROR(
      call.Result((connection.stub.get()->*method)(&call.context(), request, &response)));
  return response;
}

// `lost`, when given, becomes true when a try may have had its effect without an answer.
template <typename Request, typename Response>
absl::StatusOr<Response> CallUntilAnswered(Connection& connection,
                                           UnaryMethod<Request, Response> method,
                                           const Request& request, const CallControl& control,
                                           absl::Duration timeout, bool* lost = nullptr) {
  Patience patience(connection.options, control);
  for (;;) {
    absl::StatusOr<Response> response =
        CallOnce(connection, method, request, patience, control, timeout);
    if (response.ok()) return response;
    const bool loss = IsConnectionLoss(response.status());
    HISTEQ_RETURN_IF_ERROR(patience.Again(response.status()));
    if (lost != nullptr && loss) *lost = true;
  }
}

}  // namespace histeq::client
