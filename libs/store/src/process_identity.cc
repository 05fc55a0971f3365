#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "fmt/format.h"
#include "store/claim_registry.h"

namespace histeq::store {
namespace {

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string Host() {
  char name_space[64] = {};
  [[maybe_unused]] const ssize_t length =
      readlink("/proc/self/ns/pid", name_space, sizeof(name_space) - 1);
  return FirstLine("/proc/sys/kernel/random/boot_id") + "/" + name_space;
}

// Field 22 of /proc/PID/stat; nothing for a process that is not there, or has ended and is not
// awaited yet.
std::optional<int64_t> StartTicks(int64_t pid) {
  const std::string line = FirstLine(fmt::format("/proc/{}/stat", pid));
  // The name, field 2, may hold anything; what follows its last parenthesis does not.
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(name_end + 1));
  std::string field;
  for (int number = 3; number <= 22; ++number) {
    if (!(fields >> field)) return std::nullopt;
    if (number == 3 && (field == "Z" || field == "X")) return std::nullopt;
  }
  return std::strtoll(field.c_str(), nullptr, 10);
}

}  // namespace

ProcessIdentity ThisProcess() {
  return {.host = Host(), .pid = getpid(), .start_ticks = StartTicks(getpid()).value_or(0)};
}

std::optional<bool> IsRunning(const ProcessIdentity& process) {
  static const std::string* const host = new std::string(Host());
  if (process.host != *host) return std::nullopt;
  const std::optional<int64_t> start = StartTicks(process.pid);
  return start.has_value() && *start == process.start_ticks;
}

}  // namespace histeq::store
