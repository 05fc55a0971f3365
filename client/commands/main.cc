#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <thread>

#include "base/error.h"
#include "commands/program.h"
#include "local/file_worker.h"
#include "rpc/program.h"

namespace histeq::client {
namespace {

// Cancels the command at the first signal; ends the program at the second.
class SignalWatch {
 public:
  SignalWatch() {
    sigemptyset(&signals_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals_, signal);
    // Before any other thread begins: all inherit it.
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    // A reader that goes away is an error of the write.
    std::signal(SIGPIPE, SIG_IGN);
    thread_ = std::thread([this] { Run(); });
  }

  ~SignalWatch() {
    ending_ = true;
    pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }

  base::CancelToken token() const { return source_.token(); }
  // The one that came; 0: none.
  int signal() const { return signal_; }

 private:
  void Run() {
    for (;;) {
      int signal = 0;
      if (sigwait(&signals_, &signal) != 0 || ending_) return;
      if (signal_ != 0) {
        // Whatever is being drawn is half a line.
        if (isatty(STDERR_FILENO)) {
          [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, "\r\x1b[K", 4);
        }
        _exit(128 + signal);
      }
      signal_ = signal;
      source_.Cancel(base::MakeError(absl::StatusCode::kCancelled, "ended by a signal",
                                     {.reason = "INTERRUPTED"}));
    }
  }

  sigset_t signals_;
  base::CancelSource source_;
  std::atomic<int> signal_ = 0;
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

bool Utf8Locale() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    std::string locale = value;
    std::transform(locale.begin(), locale.end(), locale.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
  }
  return false;
}

size_t TerminalColumns() {
  winsize size = {};
  for (const int descriptor : {STDERR_FILENO, STDOUT_FILENO}) {
    if (ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  }
  return 80;
}

// Many images and processes at once take many; nothing here uses select(), which the lower limit is
// for.
void RaiseFileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "worker-process") == 0) {
    return RunFileWorker({argv + 2, argv + argc});
  }
  rpc::TuneAllocator();
  RaiseFileLimit();
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool redraw =
      isatty(STDERR_FILENO) != 0 && (terminal == nullptr || std::strcmp(terminal, "dumb") != 0);
  const SignalWatch signals;
  const int code = RunProgram({argv + 1, argv + argc},
                              {.out = std::cout,
                               .err = std::cerr,
                               .redraw = redraw,
                               .color = redraw && (no_color == nullptr || *no_color == '\0'),
                               .utf8 = Utf8Locale(),
                               .columns = TerminalColumns,
                               .token = signals.token()});
  return signals.signal() != 0 && code != 0 ? 128 + signals.signal() : code;
}

}  // namespace
}  // namespace histeq::client

int main(int argc, char** argv) { return histeq::client::Main(argc, argv); }
