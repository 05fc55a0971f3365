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

// What the kernel says of a process.
struct Seen {
  // Nothing when /proc does not show it.
  std::optional<int64_t> start_ticks;
  char state = 0;
};

// Fields 3 and 22 of /proc/PID/stat.
Seen Look(int64_t pid) {
  Seen seen;
  const std::string line = FirstLine(fmt::format("/proc/{}/stat", pid));
  // The name, field 2, may hold anything; what follows its last parenthesis does not.
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return seen;
  std::istringstream fields(line.substr(name_end + 1));
  std::string field;
  for (int number = 3; number <= 22; ++number) {
    if (!(fields >> field)) return seen;
    if (number == 3) seen.state = field.front();
  }
  seen.start_ticks = std::strtoll(field.c_str(), nullptr, 10);
  return seen;
}

}  // namespace

ProcessIdentity ThisProcess() {
  return {.host = Host(), .pid = getpid(), .start_ticks = Look(getpid()).start_ticks.value_or(0)};
}

std::optional<bool> IsRunning(const ProcessIdentity& process) {
  static const std::string* const host = new std::string(Host());
  if (process.host != *host) return std::nullopt;
  const Seen seen = Look(process.pid);
  if (!seen.start_ticks.has_value()) {
    // /proc may be missing, or hide what belongs to others.
    if (kill(static_cast<pid_t>(process.pid), 0) != 0 && errno == ESRCH) return false;
    return std::nullopt;
  }
  if (*seen.start_ticks != process.start_ticks) return false;
  // Ended, and not awaited yet.
  if (seen.state == 'Z' || seen.state == 'X') return false;
  // It stands still, until somebody lets it go on, or never.
  if (seen.state == 'T' || seen.state == 't') return std::nullopt;
  return true;
}

}  // namespace histeq::store
