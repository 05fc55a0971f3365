#pragma once

// What all commands work with.

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "api/client.h"
#include "base/cancel.h"
#include "display/progress.h"

namespace histeq::client {

// As --help documents them.
enum ExitCode { kOk = 0, kFailed = 1, kUsage = 2, kUnreachable = 3 };

// Of several things done: the worst; a failure before an unreachable server.
ExitCode Worse(ExitCode a, ExitCode b);

struct Session {
  Client& client;
  Display& display;
  // Where bytes go for "-o -".
  std::ostream& out;
  bool json = false;
  base::CancelToken token;
  // --server, or HISTEQ_SERVER: work is for the services.
  bool server_given = true;
  // The histeq program, as worker processes are started.
  std::string worker_program = "/proc/self/exe";

  // For calls about `item`.
  CallControl Control(Display::Item& item) const;
  // For calls about nothing in particular.
  CallControl Control() const;

  // Prints a failure of `subject` (empty: of the whole command), with --json also as an object with
  // the failure under "error" and `subject` under `key`. OK prints nothing.
  ExitCode Report(const std::string& subject, const absl::Status& status,
                  const std::string& key = "id") const;
};

// What a subcommand does once the flags are read.
using Action = std::function<ExitCode(Session&)>;

// One for each file of this folder: adds its subcommand to `app`; `chosen` outlives it and is set
// when the subcommand is on the command line.
void AddEqualizeCommand(CLI::App& app, Action& chosen);
void AddThumbnailCommand(CLI::App& app, Action& chosen);
void AddSampleCommand(CLI::App& app, Action& chosen);
void AddRegisterCommand(CLI::App& app, Action& chosen);
void AddUploadCommand(CLI::App& app, Action& chosen);
void AddSubmitCommand(CLI::App& app, Action& chosen);
void AddWatchCommand(CLI::App& app, Action& chosen);
void AddDownloadCommand(CLI::App& app, Action& chosen);
void AddHistogramCommand(CLI::App& app, Action& chosen);
void AddJobsCommand(CLI::App& app, Action& chosen);
void AddJobCommand(CLI::App& app, Action& chosen);
void AddCancelCommand(CLI::App& app, Action& chosen);
void AddQueryCommand(CLI::App& app, Action& chosen);
void AddImagesCommand(CLI::App& app, Action& chosen);
void AddImageCommand(CLI::App& app, Action& chosen);
void AddDeleteCommand(CLI::App& app, Action& chosen);
void AddNodesCommand(CLI::App& app, Action& chosen);
void AddCoordinatorCommand(CLI::App& app, Action& chosen);

// Makes `action` of `flags` the chosen one when `command` is on the command line.
template <typename Flags>
void Choose(CLI::App& command, Action& chosen, std::shared_ptr<Flags> flags,
            ExitCode (*action)(Session&, const Flags&)) {
  command.callback([&chosen, flags, action] {
    chosen = [flags, action](Session& session) { return action(session, *flags); };
  });
}

// Runs work(0) to work(count - 1), at most `parallel` at once; none is begun after the session is
// cancelled. The worst exit code.
ExitCode RunParallel(const Session& session, size_t count, size_t parallel,
                     const std::function<ExitCode(size_t)>& work);

// Lines of parallel work in the order of their numbers. Thread-safe.
class OrderedOutput {
 public:
  OrderedOutput(Display& display, size_t count) : display_(display), texts_(count) {}
  // Once for each number; empty for none.
  void Set(size_t number, std::string text);

 private:
  Display& display_;
  std::mutex mutex_;
  std::vector<std::optional<std::string>> texts_;
  size_t next_ = 0;
};

}  // namespace histeq::client
