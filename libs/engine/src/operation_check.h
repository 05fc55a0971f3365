#pragma once

#include "absl/status/status.h"
#include "engine/operation.h"
#include "histeq/parameters.h"

namespace histeq::engine {

// As CheckOperation, against the decoded samples; a reference image's histogram must be there.
absl::Status CheckOperationForShape(const Operation& operation, const ImageShape& shape);

}  // namespace histeq::engine
