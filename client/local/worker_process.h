#pragma once

// A process of this command that decodes what may be hostile.

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "codec/limits.h"

namespace histeq::client {

struct WorkerProcessOptions {
  // The histeq program, which is started again as `histeq worker-process`.
  std::string program = "/proc/self/exe";
  codec::DecodeLimits limits;
  std::string scratch_dir = "/var/tmp";
  // Its private memory, and any file that it writes.
  uint64_t memory_bytes = 4ull << 30;
  uint64_t file_bytes = 64ull << 30;
  // Of one image, on the clock and of processor time.
  absl::Duration image_timeout = absl::Minutes(5);
  // For tests, "KIND=NAME": what befalls the process that gets a source of this file name. KIND is
  // abort, abort-once (at the first try alone), hang, or memory.
  std::vector<std::string> test_faults;
};

// How a process ended.
struct ProcessEnd {
  // One of them is set.
  std::optional<int> exit_code;
  std::optional<int> signal;
};

// Its exit codes beside 0.
inline constexpr int kWorkerUsageExit = 2;
inline constexpr int kWorkerOutOfMemoryExit = 97;

// Started without descriptors but the ends of two socket pairs, in a session of its own, with an
// environment of its own. It dies with the thread that started it. Belongs to one thread.
class WorkerProcess {
 public:
  // - UNAVAILABLE WORKER_NOT_STARTED.
  static absl::StatusOr<std::unique_ptr<WorkerProcess>> Start(const WorkerProcessOptions& options);
  // Kills it and awaits its end.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  // The socket's other end, as rpc::MakeChannel takes it: "fd:N". Once; whoever takes it closes it.
  std::string TakeAddress();

  // Gives it an open file, which it takes by TakeFile().
  // - UNAVAILABLE: it is gone.
  absl::Status PassFile(int descriptor);

  // Waits for its end; nothing when it still runs after `timeout`.
  std::optional<ProcessEnd> WaitForEnd(absl::Duration timeout);
  // SIGKILL.
  void Kill();

  pid_t pid() const { return pid_; }

 private:
  WorkerProcess(pid_t pid, int pid_descriptor, int socket, int files)
      : pid_(pid), pid_descriptor_(pid_descriptor), socket_(socket), files_(files) {}

  const pid_t pid_;
  const int pid_descriptor_;
  int socket_;
  // Files go this way.
  const int files_;
  std::optional<ProcessEnd> end_;
};

// In the worker process: the file that was given last; -1 when there is none. Whoever takes it
// closes it.
int TakeFile();

}  // namespace histeq::client
