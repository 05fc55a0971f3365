#include "process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "files.h"
#include "temp_folder.h"

extern char** environ;

namespace histeq::integration {
namespace {

std::vector<std::string> MergedEnvironment(const std::map<std::string, std::string>& extra) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (extra.count(text.substr(0, text.find('='))) == 0) all.push_back(text);
  }
  for (const auto& [name, value] : extra) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

std::unique_ptr<Process> Process::Start(const Options& options) {
  // Everything is prepared before the fork: other threads of this process may hold the heap's lock
  // at that moment.
  std::vector<std::string> arguments = options.command;
  std::vector<std::string> environment = MergedEnvironment(options.environment);
  const std::vector<char*> argv = Pointers(arguments);
  const std::vector<char*> envp = Pointers(environment);
  const int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int out =
      open(options.stdout_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const int err =
      open(options.stderr_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (in < 0 || out < 0 || err < 0) throw std::runtime_error("cannot open the log files");
  const pid_t test = getpid();
  const pid_t pid = fork();
  if (pid < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != test) _exit(127);
    dup2(in, 0);
    dup2(out, 1);
    dup2(err, 2);
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  close(in);
  close(out);
  close(err);
  return std::unique_ptr<Process>(new Process(pid));
}

Process::~Process() { Kill(); }

bool Process::Running() {
  if (exit_code_) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return true;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return false;
}

void Process::Signal(int signal) {
  if (Running()) kill(pid_, signal);
}

void Process::Kill() {
  if (!Running()) return;
  kill(pid_, SIGKILL);
  Wait();
}

std::optional<int> Process::Wait(Milliseconds patience) {
  WaitUntil([this] { return !Running(); }, patience);
  return exit_code_;
}

std::string Program(const std::string& name) {
  const char* folder = std::getenv("HISTEQ_BIN");
  if (folder == nullptr) throw std::runtime_error("HISTEQ_BIN is not set");
  return std::string(folder) + "/" + name;
}

Finished RunToEnd(const std::vector<std::string>& command,
                  const std::map<std::string, std::string>& environment, Milliseconds patience) {
  const TempFolder folder;
  Process::Options options;
  options.command = command;
  options.environment = environment;
  options.stdout_file = folder.File("out");
  options.stderr_file = folder.File("err");
  const std::unique_ptr<Process> process = Process::Start(options);
  Finished finished;
  finished.exit_code = process->Wait(patience).value_or(-1);
  process->Kill();
  finished.out = ReadFile(options.stdout_file);
  finished.err = ReadFile(options.stderr_file);
  return finished;
}

}  // namespace histeq::integration
