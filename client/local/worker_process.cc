#include "local/worker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

// Where the child finds its end of the socket pair.
constexpr int kChildSocket = 3;
// And the one that files come through.
constexpr int kChildFiles = 4;

// What of the environment has a meaning for it.
constexpr const char* kEnvironment[] = {"HISTEQ_TARGET", "LD_LIBRARY_PATH", "ASAN_OPTIONS",
                                        "UBSAN_OPTIONS", "TSAN_OPTIONS",    "LSAN_OPTIONS"};

absl::Status NotStarted(int error) {
  return base::MakeError(absl::StatusCode::kUnavailable,
                         "a worker process cannot be started: " +
                             std::error_code(error, std::generic_category()).message(),
                         {.reason = "WORKER_NOT_STARTED"});
}

// Debian 12's <sys/pidfd.h> is not made for C++. -1 where the kernel has none.
int PidDescriptor(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

struct SocketPair {
  int ours = -1;
  int theirs = -1;

  static absl::StatusOr<SocketPair> Create(int type) {
    int ends[2];
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) return NotStarted(errno);
    SocketPair pair;
    pair.ours = ends[0];
    // Away from the numbers that the child wants: onto itself dup2 would leave close-on-exec set.
    pair.theirs = fcntl(ends[1], F_DUPFD_CLOEXEC, kChildFiles + 1);
    const int error = errno;
    close(ends[1]);
    if (pair.theirs < 0) return NotStarted(error);
    return pair;
  }
  SocketPair() = default;
  SocketPair(SocketPair&& other) noexcept
      : ours(std::exchange(other.ours, -1)), theirs(std::exchange(other.theirs, -1)) {}
  SocketPair& operator=(SocketPair&&) = delete;
  ~SocketPair() {
    if (ours >= 0) close(ours);
    if (theirs >= 0) close(theirs);
  }
};

// A message of one byte with a descriptor.
struct FileMessage {
  FileMessage() {
    header.msg_iov = &bytes;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
  }
  char byte = 0;
  iovec bytes = {.iov_base = &byte, .iov_len = 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header = {};
};

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

class SpawnSettings {
 public:
  SpawnSettings() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  void Fill(int socket, int files) {
    posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions_, 1, "/dev/null", O_WRONLY, 0);
    // What libraries say about hostile images would go through the progress that is shown.
    posix_spawn_file_actions_addopen(&actions_, 2, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions_, socket, kChildSocket);
    posix_spawn_file_actions_adddup2(&actions_, files, kChildFiles);
    posix_spawn_file_actions_addclosefrom_np(&actions_, kChildFiles + 1);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes_, &none);
    sigset_t all;
    sigfillset(&all);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    // The command's terminal is not its own.
    posix_spawnattr_setflags(&attributes_,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  }

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerProcess>> WorkerProcess::Start(
    const WorkerProcessOptions& options) {
  HISTEQ_ASSIGN_OR_RETURN(SocketPair calls, SocketPair::Create(SOCK_STREAM | SOCK_NONBLOCK));
  HISTEQ_ASSIGN_OR_RETURN(SocketPair files, SocketPair::Create(SOCK_SEQPACKET));
  std::vector<std::string> arguments = {
      "histeq",
      "worker-process",
      fmt::format("--socket={}", kChildSocket),
      fmt::format("--parent={}", getpid()),
      fmt::format("--memory={}", options.memory_bytes),
      fmt::format("--file-size={}", options.file_bytes),
      fmt::format("--image-timeout-s={}",
                  std::max<int64_t>(1, absl::ToInt64Seconds(options.image_timeout))),
      fmt::format("--max-pixels={}", options.limits.max_pixels),
      fmt::format("--max-dimension={}", options.limits.max_dimension),
      fmt::format("--max-jpeg-scans={}", options.limits.max_jpeg_scans),
      fmt::format("--max-metadata={}", options.limits.max_metadata_bytes),
      "--scratch-dir=" + options.scratch_dir,
  };
  for (const std::string& fault : options.test_faults) {
    arguments.push_back("--test-worker-fault=" + fault);
  }
  std::vector<std::string> environment = {"LC_ALL=C"};
  for (const char* name : kEnvironment) {
    if (const char* value = std::getenv(name))
      environment.push_back(fmt::format("{}={}", name, value));
  }
  SpawnSettings settings;
  settings.Fill(calls.theirs, files.theirs);
  pid_t pid = 0;
  const int failed =
      posix_spawn(&pid, options.program.c_str(), settings.actions(), settings.attributes(),
                  Pointers(arguments).data(), Pointers(environment).data());
  if (failed != 0) return NotStarted(failed);
  return std::unique_ptr<WorkerProcess>(new WorkerProcess(
      pid, PidDescriptor(pid), std::exchange(calls.ours, -1), std::exchange(files.ours, -1)));
}

WorkerProcess::~WorkerProcess() {
  Kill();
  WaitForEnd(absl::InfiniteDuration());
  if (pid_descriptor_ >= 0) close(pid_descriptor_);
  if (socket_ >= 0) close(socket_);
  close(files_);
}

std::string WorkerProcess::TakeAddress() {
  return fmt::format("fd:{}", std::exchange(socket_, -1));
}

absl::Status WorkerProcess::PassFile(int descriptor) {
  FileMessage message;
  cmsghdr* const attached = CMSG_FIRSTHDR(&message.header);
  attached->cmsg_level = SOL_SOCKET;
  attached->cmsg_type = SCM_RIGHTS;
  attached->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(attached), &descriptor, sizeof(int));
  // It never waits: whoever takes one file is given the next.
  if (sendmsg(files_, &message.header, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) return absl::OkStatus();
  return absl::UnavailableError(std::string("the worker process takes no file: ") +
                                std::strerror(errno));
}

std::optional<ProcessEnd> WorkerProcess::WaitForEnd(absl::Duration timeout) {
  if (end_.has_value()) return end_;
  if (pid_descriptor_ >= 0 && timeout != absl::InfiniteDuration()) {
    pollfd waited = {.fd = pid_descriptor_, .events = POLLIN, .revents = 0};
    const int ready = poll(&waited, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout)));
    if (ready <= 0) return std::nullopt;
  }
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0) {
    if (errno != EINTR) return std::nullopt;
  }
  end_.emplace();
  if (WIFSIGNALED(status)) {
    end_->signal = WTERMSIG(status);
  } else {
    end_->exit_code = WEXITSTATUS(status);
  }
  return end_;
}

void WorkerProcess::Kill() {
  if (!end_.has_value()) kill(pid_, SIGKILL);
}

int TakeFile() {
  int descriptor = -1;
  // One that is left belongs to a call that never came.
  for (;;) {
    FileMessage message;
    if (recvmsg(kChildFiles, &message.header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != 1)
      return descriptor;
    if (descriptor >= 0) close(descriptor);
    descriptor = -1;
    const cmsghdr* const attached = CMSG_FIRSTHDR(&message.header);
    if (attached != nullptr && attached->cmsg_type == SCM_RIGHTS)
      std::memcpy(&descriptor, CMSG_DATA(attached), sizeof(int));
  }
}

}  // namespace histeq::client
