#pragma once

// One form for all operations that make the same bytes, for what is told apart by them.

#include <string>

#include "histeq/parameters.h"
#include "histeq/v1/operation.pb.h"

namespace histeq::rpc {

// All parameters set, except those that the method does not look at. A thumbnail's are those of
// ToProto().
v1::Equalize Canonical(const EqualizeParameters& parameters);

// Of an operation as it came; a reference image stays named by its id. One that is refused by
// OperationFromProto() stays as it is.
v1::Operation Canonical(const v1::Operation& operation);

// The same message always gives the same bytes.
std::string Serialize(const v1::Operation& operation);

}  // namespace histeq::rpc
