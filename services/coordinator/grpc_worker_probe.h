#pragma once

// Calls a worker back, as its segments will.

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace histeq::coordinator {

// OK when the Worker service at `address` answers within `timeout` and says that it is `name`.
// INVALID_ARGUMENT when it says another name; otherwise why it cannot be reached.
absl::Status ProbeWorker(const std::string& name, const std::string& address,
                         absl::Duration timeout);

}  // namespace histeq::coordinator
