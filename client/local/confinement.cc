#include "local/confinement.h"

#include <seccomp.h>
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

void DenyNeedlessSystemCalls() {
  constexpr int kDenied[] = {
      // Programs and processes.
      SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(kill),
      SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
      SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_getfd), SCMP_SYS(pidfd_send_signal),
      // Networks.
      SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen),
      SCMP_SYS(accept), SCMP_SYS(accept4),
      // Names and rights of files. Scratch files are made and unlinked.
      SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(link), SCMP_SYS(linkat),
      SCMP_SYS(symlink), SCMP_SYS(symlinkat), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir),
      SCMP_SYS(mknod), SCMP_SYS(mknodat), SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(fchmodat),
      SCMP_SYS(chown), SCMP_SYS(fchown), SCMP_SYS(lchown), SCMP_SYS(fchownat), SCMP_SYS(setxattr),
      SCMP_SYS(open_by_handle_at),
      // The kernel's.
      SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(unshare),
      SCMP_SYS(setns), SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),
      SCMP_SYS(io_uring_setup), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key),
      SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
      SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(setuid), SCMP_SYS(setgid),
      SCMP_SYS(setresuid), SCMP_SYS(setresgid), SCMP_SYS(setgroups), SCMP_SYS(personality)};
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (filter == nullptr) return;
  // All threads that run already.
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
  for (const int call : kDenied) seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
  seccomp_load(filter);
  seccomp_release(filter);
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
