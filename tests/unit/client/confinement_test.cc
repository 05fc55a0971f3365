// What a confined process cannot do any more, and what it still can.

#include "local/confinement.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "codec/scratch.h"
#include "scratch_folder.h"

namespace histeq::client {
namespace {

constexpr int kAsAsked = 0;

// Runs `work` in a confined process, which ends with what it returns.
int Confined(const std::string& scratch, const std::function<int()>& work,
             uint64_t memory_bytes = 1ull << 30) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    if (!ConfineThisProcess({.parent = parent,
                             .memory_bytes = memory_bytes,
                             .file_bytes = 1ull << 34,
                             .scratch_dir = scratch})
             .ok())
      _exit(250);
    DenyNeedlessSystemCalls();
    // The tests' own handler would speak for it.
    signal(SIGABRT, SIG_DFL);
    _exit(work());
  }
  REQUIRE(child > 0);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

// The errno of a call that ought to fail; kAsAsked when it does not.
template <typename F>
int ErrorOf(const F& call) {
  errno = 0;
  return call() < 0 ? errno : kAsAsked;
}

bool HasLandlock() {
  return syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;
}

std::string StatusLine(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
  return "";
}

TEST_CASE("a confined process starts threads and no processes") {
  const ScratchFolder folder;
  const std::string scratch = folder.Path("");
  CHECK(Confined(scratch, [] {
          int done = 0;
          std::thread([&] { done = 7; }).join();
          return done;
        }) == 7);
  CHECK(Confined(scratch, [] { return ErrorOf([] { return fork(); }); }) == EPERM);
  CHECK(Confined(scratch, [] {
          return ErrorOf([] { return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0); });
        }) == EPERM);
  CHECK(Confined(scratch, [] { return ErrorOf([] { return syscall(SYS_clone3, nullptr, 0); }); }) ==
        ENOSYS);
  CHECK(Confined(scratch, [] { return ErrorOf([] { return unshare(CLONE_NEWUSER); }); }) == EPERM);
}

TEST_CASE("a confined process reaches itself alone") {
  const ScratchFolder folder;
  const std::string scratch = folder.Path("");
  const pid_t parent = getpid();
  CHECK(Confined(scratch, [=] {
          return ErrorOf([=] { return syscall(SYS_tgkill, parent, parent, 0); });
        }) == EPERM);
  CHECK(Confined(scratch, [=] { return ErrorOf([=] { return kill(parent, 0); }); }) == EPERM);
  CHECK(Confined(scratch, [=] {
          rlimit limit = {};
          return ErrorOf([&] { return prlimit(parent, RLIMIT_CORE, nullptr, &limit); });
        }) == EPERM);
  CHECK(Confined(scratch, [] { return ErrorOf([] { return ioctl(0, TIOCSTI, "x"); }); }) == EPERM);
  // The kernel takes it for the same.
  CHECK(Confined(scratch, [] {
          return ErrorOf([] { return syscall(SYS_ioctl, 0, TIOCSTI | 1ull << 32, "x"); });
        }) == EPERM);
  // What a library's assertion does.
  CHECK(Confined(scratch, []() -> int { std::abort(); }) == 1000 + SIGABRT);
}

TEST_CASE("root is not root in a confined process") {
  const ScratchFolder folder;
  const std::string scratch = folder.Path("");
  for (const char* set : {"CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"}) {
    CAPTURE(set);
    CHECK(Confined(scratch, [=] {
            const uint64_t all = std::stoull(StatusLine(set), nullptr, 16);
            // Reading of any file.
            const uint64_t kept =
                std::string(set) == "CapEff" || std::string(set) == "CapPrm" ? uint64_t{1} << 2 : 0;
            // Only who may do so empties the bounding set.
            if (std::string(set) == "CapBnd" && geteuid() != 0) return kAsAsked;
            return (all & ~kept) == 0 ? kAsAsked : 1;
          }) == kAsAsked);
  }
}

TEST_CASE("a confined process reads everywhere, and writes where it is told to") {
  const ScratchFolder folder;
  std::filesystem::create_directory(folder.Path("scratch"));
  std::filesystem::create_directory(folder.Path("others"));
  folder.Write("others/file", "theirs");
  const std::string scratch = folder.Path("scratch");
  const std::string file = folder.Path("others/file");
  CHECK(Confined(scratch, [&] { return ErrorOf([&] { return open(file.c_str(), O_RDONLY); }); }) ==
        kAsAsked);
  CHECK(Confined(scratch, [&] {
          return codec::Scratch::Create(1 << 20, nullptr, scratch).ok() ? kAsAsked : 1;
        }) == kAsAsked);
  // Where it needs a name.
  CHECK(Confined(scratch, [&] {
          std::string name = scratch + "/XXXXXX";
          return mkstemp(name.data()) >= 0 && unlink(name.c_str()) == 0 ? kAsAsked : 1;
        }) == kAsAsked);
  CHECK(Confined(scratch, [&] {
          return ErrorOf([&] { return setxattr(file.c_str(), "user.a", "b", 1, 0); });
        }) == EPERM);
  CHECK(Confined(scratch, [&] {
          const int fd = open(file.c_str(), O_RDONLY);
          return ErrorOf([&] { return fsetxattr(fd, "user.a", "b", 1, 0); });
        }) == EPERM);
  CHECK(Confined(scratch, [&] { return ErrorOf([&] { return truncate(file.c_str(), 0); }); }) ==
        EPERM);
  CHECK(Confined(scratch, [&] {
          return ErrorOf([&] { return rename(file.c_str(), (file + "2").c_str()); });
        }) == EPERM);
  // A file that was open before is written all the same.
  const int open_before = open(file.c_str(), O_RDWR);
  REQUIRE(open_before >= 0);
  CHECK(Confined(scratch, [&] { return static_cast<int>(write(open_before, "T", 1)); }) == 1);
  close(open_before);
  if (HasLandlock()) {
    for (const int flags : {O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDONLY | O_TRUNC}) {
      CAPTURE(flags);
      CHECK(Confined(scratch, [&] { return ErrorOf([&] { return open(file.c_str(), flags); }); }) ==
            EACCES);
    }
    CHECK(Confined(scratch, [&] {
            return ErrorOf([&] { return open((file + "2").c_str(), O_CREAT | O_RDWR, 0600); });
          }) == EACCES);
    CHECK(Confined(scratch, [&] { return ErrorOf([&] { return unlink(file.c_str()); }); }) ==
          EACCES);
  }
  std::ifstream after(file);
  std::string content;
  std::getline(after, content);
  CHECK(content == "Theirs");
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("memory is limited, and mapped scratch files are no memory") {
  const ScratchFolder folder;
  const std::string scratch = folder.Path("");
  constexpr uint64_t kMemory = 256 << 20;
  const auto maps = [](int flags, int fd) {
    return mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, flags, fd, 0) != MAP_FAILED;
  };
  CHECK(Confined(
            scratch, [&] { return maps(MAP_PRIVATE | MAP_ANONYMOUS, -1) ? 1 : kAsAsked; },
            kMemory) == kAsAsked);
  CHECK(Confined(
            scratch,
            [&] {
              const int fd = open(scratch.c_str(), O_TMPFILE | O_RDWR, 0600);
              return fd >= 0 && maps(MAP_SHARED, fd) ? kAsAsked : 1;
            },
            kMemory) == kAsAsked);
}
#endif

}  // namespace
}  // namespace histeq::client
