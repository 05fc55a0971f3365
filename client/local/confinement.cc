#include "local/confinement.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "base/status_macros.h"

namespace histeq::client {
namespace {

constexpr rlim_t kDescriptors = 128;

absl::Status Limit(decltype(RLIMIT_AS) resource, const char* name, rlim_t most) {
  rlimit limit = {};
  getrlimit(resource, &limit);
  limit.rlim_max = std::min(limit.rlim_max, most);
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(resource, &limit) == 0) return absl::OkStatus();
  return absl::InternalError(std::string(name) + ": " + strerror(errno));
}

}  // namespace

absl::Status ConfineThisProcess(const Confinement& confinement) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return absl::InternalError(std::string("prctl: ") + strerror(errno));
  }
  // It may have gone before that.
  if (getppid() != confinement.parent) return absl::AbortedError("the command is gone");
  // Ctrl-C goes to the command, which then ends this process.
  for (const int ignored : {SIGINT, SIGQUIT, SIGHUP, SIGPIPE, SIGXFSZ}) signal(ignored, SIG_IGN);
  HISTEQ_RETURN_IF_ERROR(Limit(RLIMIT_CORE, "the limit on core files", 0));
  HISTEQ_RETURN_IF_ERROR(Limit(RLIMIT_NOFILE, "the limit on descriptors", kDescriptors));
  HISTEQ_RETURN_IF_ERROR(Limit(RLIMIT_FSIZE, "the limit on files", confinement.file_bytes));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // Sanitizers reserve terabytes.
  HISTEQ_RETURN_IF_ERROR(Limit(RLIMIT_AS, "the limit on memory", confinement.memory_bytes));
#endif
  return absl::OkStatus();
}

void LimitProcessorTime(absl::Duration time) {
  rusage used = {};
  getrusage(RUSAGE_SELF, &used);
  rlimit limit = {};
  getrlimit(RLIMIT_CPU, &limit);
  const auto seconds = static_cast<rlim_t>(used.ru_utime.tv_sec + used.ru_stime.tv_sec + 2 +
                                           absl::ToInt64Seconds(time));
  limit.rlim_cur = std::min(limit.rlim_max, seconds);
  setrlimit(RLIMIT_CPU, &limit);
}

}  // namespace histeq::client
