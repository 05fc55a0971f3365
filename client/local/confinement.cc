#include "local/confinement.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/status_macros.h"

namespace histeq::client {
namespace {

constexpr rlim_t kDescriptors = 128;

absl::Status SystemError(const char* what) {
  return absl::InternalError(std::string(what) + ": " + strerror(errno));
}

absl::Status Limit(decltype(RLIMIT_AS) resource, const char* name, rlim_t most) {
  rlimit limit = {};
  getrlimit(resource, &limit);
  limit.rlim_max = std::min(limit.rlim_max, most);
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(resource, &limit) == 0) return absl::OkStatus();
  return SystemError(name);
}

// Root is confined too. It keeps reading whatever it likes, since it may have been told to work on
// the files of others.
absl::Status DropCapabilities() {
  // Both need capabilities themselves, or there is nothing to drop.
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, sets) != 0) return SystemError("capget");
  const uint32_t kept = sets[0].permitted & 1u << CAP_DAC_READ_SEARCH;
  sets[0] = {.effective = kept, .permitted = kept, .inheritable = 0};
  sets[1] = {};
  if (syscall(SYS_capset, &header, sets) != 0) return SystemError("capset");
  return absl::OkStatus();
}

// What kernels and not all headers know.
constexpr uint64_t kTruncate = 1 << 14, kDeviceControl = 1 << 15;
constexpr uint64_t kBindTcp = 1 << 0, kConnectTcp = 1 << 1;
constexpr uint64_t kAbstractSockets = 1 << 0, kSignals = 1 << 1;
struct LandlockRules {
  uint64_t files = 0;
  uint64_t network = 0;
  uint64_t scoped = 0;
};

// Each right that the kernel's version of Landlock knows.
size_t RulesOf(int version, LandlockRules& rules) {
  rules.files =
      LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
      LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
      LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
      LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
  if (version >= 2) rules.files |= LANDLOCK_ACCESS_FS_REFER;
  if (version >= 3) rules.files |= kTruncate;
  if (version >= 4) rules.network = kBindTcp | kConnectTcp;
  if (version >= 5) rules.files |= kDeviceControl;
  if (version >= 6) rules.scoped = kAbstractSockets | kSignals;
  return version >= 6   ? sizeof(rules)
         : version >= 4 ? offsetof(LandlockRules, scoped)
                        : offsetof(LandlockRules, network);
}

absl::Status WriteOnlyBelow(const std::string& folder) {
  const auto version = static_cast<int>(
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION));
  // A kernel without it.
  if (version < 1) return absl::OkStatus();
  LandlockRules rules;
  const size_t size = RulesOf(version, rules);
  const auto ruleset = static_cast<int>(syscall(SYS_landlock_create_ruleset, &rules, size, 0));
  if (ruleset < 0) return SystemError("landlock_create_ruleset");
  landlock_path_beneath_attr below = {};
  below.allowed_access = (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
                          LANDLOCK_ACCESS_FS_REMOVE_FILE | kTruncate) &
                         rules.files;
  below.parent_fd = open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  bool applied = true;
  // A folder that is missing is told where it is needed.
  if (below.parent_fd >= 0) {
    applied = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &below, 0) == 0;
    close(below.parent_fd);
  }
  applied = applied && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
  const absl::Status status = applied ? absl::OkStatus() : SystemError("Landlock");
  close(ruleset);
  return status;
}

}  // namespace

absl::Status ConfineThisProcess(const Confinement& confinement) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return SystemError("prctl");
  // It may have gone before that.
  if (getppid() != confinement.parent) return absl::AbortedError("the command is gone");
  // Ctrl-C goes to the command, which then ends this process.
  for (const int ignored : {SIGINT, SIGQUIT, SIGHUP, SIGPIPE, SIGXFSZ}) signal(ignored, SIG_IGN);
  HISTEQ_RETURN_IF_ERROR(Limit(RLIMIT_CORE, "the limit on core files", 0));
  HISTEQ_RETURN_IF_ERROR(Limit(RLIMIT_NOFILE, "the limit on descriptors", kDescriptors));
  HISTEQ_RETURN_IF_ERROR(Limit(RLIMIT_FSIZE, "the limit on files", confinement.file_bytes));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // Sanitizers reserve terabytes. Scratch files are mapped, and are no memory: what is private
  // counts.
  HISTEQ_RETURN_IF_ERROR(Limit(RLIMIT_DATA, "the limit on memory", confinement.memory_bytes));
  HISTEQ_RETURN_IF_ERROR(Limit(RLIMIT_AS, "the limit on address space",
                               confinement.memory_bytes + confinement.file_bytes));
#endif
  HISTEQ_RETURN_IF_ERROR(DropCapabilities());
  return WriteOnlyBelow(confinement.scratch_dir);
}

void DenyNeedlessSystemCalls() {
  constexpr int kDenied[] = {
      // Programs and processes.
      SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(kill),
      SCMP_SYS(tkill), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
      SCMP_SYS(process_madvise), SCMP_SYS(kcmp), SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_getfd),
      SCMP_SYS(pidfd_send_signal),
      // Networks.
      SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen),
      SCMP_SYS(accept), SCMP_SYS(accept4),
      // Names and rights of files. Scratch files are made and unlinked.
      SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(link), SCMP_SYS(linkat),
      SCMP_SYS(symlink), SCMP_SYS(symlinkat), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir),
      SCMP_SYS(mknod), SCMP_SYS(mknodat), SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(fchmodat),
      SCMP_SYS(chown), SCMP_SYS(fchown), SCMP_SYS(lchown), SCMP_SYS(fchownat), SCMP_SYS(setxattr),
      SCMP_SYS(lsetxattr), SCMP_SYS(fsetxattr), SCMP_SYS(removexattr), SCMP_SYS(lremovexattr),
      SCMP_SYS(fremovexattr), SCMP_SYS(truncate), SCMP_SYS(utime), SCMP_SYS(utimes),
      SCMP_SYS(futimesat), SCMP_SYS(utimensat), SCMP_SYS(open_by_handle_at),
      // The kernel's.
      SCMP_SYS(mount), SCMP_SYS(fsopen), SCMP_SYS(fsconfig), SCMP_SYS(fsmount), SCMP_SYS(fspick),
      SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(mount_setattr), SCMP_SYS(umount2),
      SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(bpf),
      SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup), SCMP_SYS(keyctl),
      SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(init_module), SCMP_SYS(finit_module),
      SCMP_SYS(delete_module), SCMP_SYS(kexec_load), SCMP_SYS(reboot), SCMP_SYS(swapon),
      SCMP_SYS(swapoff), SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setresuid),
      SCMP_SYS(setresgid), SCMP_SYS(setgroups), SCMP_SYS(personality)};
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (filter == nullptr) return;
  // All threads that run already.
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
  const uint32_t denied = SCMP_ACT_ERRNO(EPERM);
  for (const int call : kDenied) seccomp_rule_add(filter, denied, call, 0);
  // Threads, and no processes. The flags of clone3 lie in memory; without it libraries take clone.
  seccomp_rule_add(filter, denied, SCMP_SYS(clone), 1,
                   SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
  seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  // Signals to itself, as abort() sends them, and limits of its own.
  const auto own = static_cast<scmp_datum_t>(getpid());
  for (const int call : {SCMP_SYS(tgkill), SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(rt_tgsigqueueinfo)})
    seccomp_rule_add(filter, denied, call, 1, scmp_arg_cmp{0, SCMP_CMP_NE, own, 0});
  seccomp_rule_add(filter, denied, SCMP_SYS(prlimit64), 1, scmp_arg_cmp{0, SCMP_CMP_NE, 0, 0});
  // Typing on a terminal. The kernel looks at 32 bits.
  seccomp_rule_add(filter, denied, SCMP_SYS(ioctl), 1,
                   SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, TIOCSTI));
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
