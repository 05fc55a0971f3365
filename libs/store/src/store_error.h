#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"

namespace histeq::store {

// base::MakeError with a reason and metadata alone.
absl::Status StoreError(absl::StatusCode code, const std::string& reason, std::string message,
                        std::map<std::string, std::string> metadata = {});

// The status for a failed system call: DISK_FULL for what an operator can mend by making room, else
// STORE_IO. `what` is the beginning of a sentence: "blob ab12 cannot be written".
absl::Status IoError(int error, const std::string& what);

// The same for a call that wanted room for `needed_bytes` on the disk of `path`: DISK_FULL has what
// is free ("limit", except when it is a quota that is used up) and what was wanted ("actual").
absl::Status IoError(int error, const std::string& what, const std::string& path,
                     uint64_t needed_bytes);

}  // namespace histeq::store
