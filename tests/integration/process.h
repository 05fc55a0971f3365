#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wait.h"

namespace histeq::integration {

// A program that this test started. Killed by SIGKILL and awaited when the object goes, and when
// the test dies.
class Process {
 public:
  struct Options {
    // Full path of the program, then its arguments.
    std::vector<std::string> command;
    // Set beside what the test itself has.
    std::map<std::string, std::string> environment;
    // Files that take what it writes; both may be the same one. Appended to.
    std::string stdout_file = "/dev/null";
    std::string stderr_file = "/dev/null";
  };

  static std::unique_ptr<Process> Start(const Options& options);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool Running();
  void Signal(int signal);
  // SIGKILL, and waits for its end.
  void Kill();
  // Waits for its end: the exit code, or 128 + the signal that ended it; nothing when it still runs
  // after `patience`.
  std::optional<int> Wait(Milliseconds patience = kPatience);

 private:
  explicit Process(pid_t pid) : pid_(pid) {}

  pid_t pid_;
  std::optional<int> exit_code_;
};

// Where the programs under test are: HISTEQ_BIN.
std::string Program(const std::string& name);

// Runs a command to its end.
struct Finished {
  // As Process::Wait; -1 when it had to be killed.
  int exit_code = -1;
  std::string out;
  std::string err;
};
Finished RunToEnd(const std::vector<std::string>& command,
                  const std::map<std::string, std::string>& environment = {},
                  Milliseconds patience = kPatience);

}  // namespace histeq::integration
