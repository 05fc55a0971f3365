#pragma once

// What a worker process takes from itself before it reads an image.

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace histeq::client {

struct Confinement {
  // Who started it: it dies when that thread ends.
  pid_t parent = 0;
  uint64_t memory_bytes = 0;
  uint64_t file_bytes = 0;
  // Where it may make files; elsewhere it only reads.
  std::string scratch_dir;
};

// First thing, while there is one thread: no core files, no new privileges, none of root's but
// reading what it likes; limits on memory, files and descriptors. Where the kernel has Landlock,
// files open for writing in the scratch folder alone. Signals that are meant for the command are
// ignored. Files in the scratch folder that are mapped do not count as memory.
// - ABORTED: the parent is gone already. INTERNAL: a limit cannot be set.
absl::Status ConfineThisProcess(const Confinement& confinement);

// Once everything runs: takes from all threads the system calls that a decoder has no use for,
// which then fail with EPERM: other programs and processes, sockets, names and rights of files, and
// the kernel's larger doors. Threads can be started. A kernel that cannot filter them is no error.
void DenyNeedlessSystemCalls();

// Ends the process by SIGXCPU once it has taken so much more processor time. Replaces the limit of
// the image before.
void LimitProcessorTime(absl::Duration time);

}  // namespace histeq::client
