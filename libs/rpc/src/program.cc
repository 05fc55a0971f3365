#include "rpc/program.h"

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <istream>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "flag_help.h"
#include "fmt/format.h"
#include "grpc/support/log.h"
#include "rpc/event_log.h"
#include "rpc/flag_sources.h"

namespace histeq::rpc {
namespace {

constexpr char kNameAlphabet[] =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-";
constexpr size_t kMaxNameBytes = 64;
constexpr char kCommonGroup[] = "Every service";
constexpr int kUsageError = 2;
constexpr double kMaxDrainSeconds = 86400;

std::string DefaultName() {
  std::array<char, HOST_NAME_MAX + 1> host = {};
  std::string name = gethostname(host.data(), host.size() - 1) == 0 ? host.data() : "host";
  for (char& c : name) {
    if (std::string_view(kNameAlphabet).find(c) == std::string_view::npos) c = '-';
  }
  const std::string suffix = fmt::format("-{}", getpid());
  return name.substr(0, kMaxNameBytes - suffix.size()) + suffix;
}

// gRPC's own lines in our form; its errors are warnings to us, since the call that fails says more.
void LogFromGrpc(gpr_log_func_args* args) {
  const LogLevel level =
      args->severity == GPR_LOG_SEVERITY_ERROR ? LogLevel::kWarning : LogLevel::kDebug;
  LogEvent(level, "grpc",
           {{"message", args->message}, {"where", fmt::format("{}:{}", args->file, args->line)}});
}

sigset_t EndingSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

void EndNow(int signal) { _exit(128 + signal); }

// gRPC 1.51 stops accepting for good once it ran out of file descriptors (CVE-2023-4785): take all
// that we may have.
void RaiseFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

const char* Version() { return HISTEQ_VERSION; }

ServerOptions ProgramFlags::server_options() const {
  ServerOptions options;
  options.listen = listen;
  options.port = port;
  options.port_file = port_file;
  options.max_connections = max_connections;
  options.max_streams_per_connection = max_streams;
  return options;
}

struct Program::Parts {
  Parts(std::string name, std::string description)
      : program(std::move(name)), app(std::move(description), program) {}
  std::string program;
  ProgramFlags flags;
  CLI::App app;
};

Program::Program(std::string program, std::string description, int default_port)
    : parts_(std::make_unique<Parts>(std::move(program), std::move(description))) {
  ProgramFlags& flags = parts_->flags;
  flags.port = default_port;
  flags.name = DefaultName();
  CLI::App& app = parts_->app;
  app.formatter(MakeHelpFormatter());
  app.option_defaults()->always_capture_default();
  app.set_help_flag("--help", "Print this text and exit.");
  app.set_version_flag("--version", fmt::format("{} {}", parts_->program, Version()),
                       "Print the version and exit.");
  app.option_defaults()->group(kCommonGroup);
  app.add_option("--listen", flags.listen,
                 "IP address to listen on, or unix:PATH for a Unix socket. There is no "
                 "authentication: outside one machine listen in a trusted network only.")
      ->type_name("ADDRESS");
  app.add_option("--port", flags.port, "TCP port to listen on; 0 takes a free one.")
      ->type_name("PORT")
      ->check(CLI::Range(0, 65535));
  app.add_option("--port-file", flags.port_file,
                 "Write the bound port to this file once calls are answered.")
      ->type_name("FILE");
  app.add_option("--name", flags.name,
                 "Name of this process in logs and towards other services, 1 to 64 characters of "
                 "[0-9A-Za-z._-].")
      ->type_name("NAME")
      ->check([](const std::string& name) -> std::string {
        if (name.empty() || name.size() > kMaxNameBytes ||
            name.find_first_not_of(kNameAlphabet) != std::string::npos) {
          return "must be 1 to 64 characters of [0-9A-Za-z._-]";
        }
        return {};
      });
  app.add_option("--log-level", flags.log_level,
                 "Least level that is logged: debug, info, warning or error.")
      ->type_name("LEVEL")
      ->check([](const std::string& word) -> std::string {
        LogLevel level;
        return ParseLogLevel(word, level) ? "" : "must be debug, info, warning or error";
      });
  app.add_option("--log-format", flags.log_format, "Form of the log on stderr: text or json.")
      ->type_name("FORMAT")
      ->check([](const std::string& word) -> std::string {
        return word == "text" || word == "json" ? "" : "must be text or json";
      });
  app.add_option("--max-connections", flags.max_connections,
                 "Connections at once; more wait until others end.")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--max-streams", flags.max_streams, "Calls at once on one connection.")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--drain-timeout-s", flags.drain_timeout_s,
                 "After SIGTERM, how long running work may take to end, in seconds.")
      ->type_name("SECONDS")
      ->check([](const std::string& text) -> std::string {
        double seconds = 0;
        // False for NaN too, which CLI::Range lets pass.
        const bool usable =
            CLI::detail::lexical_cast(text, seconds) && seconds >= 0 && seconds <= kMaxDrainSeconds;
        return usable ? "" : "must be 0 to 86400";
      });
  ReadFlagsFromElsewhere(app, parts_->program);
  const std::string prefix = EnvironmentName(parts_->program, "");
  app.footer(fmt::format(
      "Every flag may also be set by an environment variable or in the file of --config:\n"
      "--log-level is {}LOG_LEVEL, and a line `log-level = \"debug\"` in the file.\n"
      "The command line wins over the environment, the environment over the file.\n"
      "SIGTERM or SIGINT drains and ends the process; a second one ends it at once.",
      prefix));
  // For what the service adds.
  app.option_defaults()->group("Options");
}

Program::~Program() = default;

CLI::App& Program::app() { return parts_->app; }
ProgramFlags& Program::flags() { return parts_->flags; }

std::optional<int> Program::Parse(int argc, char** argv) {
  CLI::App& app = parts_->app;
  ReadFlagsFromElsewhere(app, parts_->program);
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  AddConfigFromEnvironment(parts_->program, arguments);
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help() << std::flush;
    return 0;
  } catch (const CLI::CallForVersion& version) {
    std::cout << version.what() << std::endl;
    return 0;
  } catch (const CLI::ParseError& error) {
    std::cerr << fmt::format("{}: {}\nRun {} --help for its flags.\n", parts_->program,
                             error.what(), parts_->program)
              << std::flush;
    return kUsageError;
  }

  const ProgramFlags& flags = parts_->flags;
  LogLevel level = LogLevel::kInfo;
  ParseLogLevel(flags.log_level, level);
  constexpr std::string_view kFamily = "histeq-";
  ConfigureLog(level, flags.log_format == "json" ? LogFormat::kJson : LogFormat::kText,
               parts_->program.starts_with(kFamily) ? parts_->program.substr(kFamily.size())
                                                    : parts_->program,
               flags.name);
  gpr_set_log_function(LogFromGrpc);
  // Built without NDEBUG, as distributions do, Abseil notes the order of all locks that gRPC takes.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  RaiseFileLimit();
  // A reader of our log, or a peer, that went away is no reason to end.
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t signals = EndingSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return std::nullopt;
}

int Program::WaitForSignal() {
  const sigset_t signals = EndingSignals();
  int signal = 0;
  while (sigwait(&signals, &signal) != 0) {
  }
  struct sigaction action = {};
  action.sa_handler = EndNow;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  // This thread takes the second one, wherever it is in the drain.
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  return signal;
}

void TuneAllocator() {
#ifdef __GLIBC__
  mallopt(M_TOP_PAD, 16 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
#endif
}

}  // namespace histeq::rpc
