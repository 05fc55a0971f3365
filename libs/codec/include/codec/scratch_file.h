#pragma once

// Temporary files of bytes that have no place in memory.

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace histeq::codec {

// Opens an empty file in `directory` for reading and writing. It has no name, so that nothing
// remains of it after a crash; its space is free again when the caller closes the descriptor.
// `unnamed_error`, an errno other than 0, stands for a file system's refusal to make a file without
// a name: then one is made whose name is taken away at once. For tests. Fails with ScratchError.
absl::StatusOr<int> OpenScratchFile(const std::string& directory, int unnamed_error = 0);

// The status for a system call on such a file that failed with the errno `error`. `what` begins a
// sentence: "the result cannot be written". `needed_bytes`: what there had to be room for; 0: none.
// - RESOURCE_EXHAUSTED DISK_FULL (metadata "folder", "actual" = needed_bytes, and for a full disk
//   "limit" = bytes that are free); SCRATCH_FAILED ("folder") for what more room does not mend.
absl::Status ScratchError(const std::string& what, const std::string& directory,
                          uint64_t needed_bytes, int error);

}  // namespace histeq::codec
