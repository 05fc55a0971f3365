#pragma once

// What every service's main does: flags, log, signals, memory settings.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/time/time.h"
#include "rpc/server.h"

namespace histeq::rpc {

// "0.1.0", as --version prints it after the program's name.
const char* Version();

// The flags that all services have: --listen, --port, --port-file, --name, --log-level,
// --log-format, --max-connections, --max-streams, --drain-timeout-s, --config FILE, --version,
// --help.
struct ProgramFlags {
  std::string listen = "127.0.0.1";
  int port = 0;
  std::string port_file;
  // Default: host name and process id, "HOST-PID".
  std::string name;
  std::string log_level = "info";
  std::string log_format = "text";
  int max_connections = ServerOptions().max_connections;
  int max_streams = ServerOptions().max_streams_per_connection;
  double drain_timeout_s = 30;

  ServerOptions server_options() const;
  absl::Duration drain_timeout() const { return absl::Seconds(drain_timeout_s); }
};

// A CLI11 app for `program` ("histeq-worker") with those flags. Every option that is added to it,
// before or after, also gets an environment variable when Parse is called: --max-pixels of
// histeq-worker is HISTEQ_WORKER_MAX_PIXELS, and a line `max-pixels = N` in the --config file. The
// command line wins over the environment, that over the file.
class Program {
 public:
  // `description` is what --help says first; `default_port` is 0 for "any free one".
  Program(std::string program, std::string description, int default_port);
  ~Program();

  CLI::App& app();
  ProgramFlags& flags();

  // Parses, sets up the log, and blocks SIGTERM and SIGINT for all threads that are started later.
  // Returns the exit code when the program should end now (--help, --version: 0; an error: 2,
  // printed).
  std::optional<int> Parse(int argc, char** argv);

  // Waits for SIGTERM or SIGINT; returns its number. A second one during the drain ends the process
  // at once (128 + number).
  int WaitForSignal();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// Options for sizes: "64MiB", "1GB", "1048576" (binary with an i, decimal without); digits and
// unit only. Adds the option with its default in the help.
CLI::Option* AddSizeOption(CLI::App& app, const std::string& name, uint64_t& bytes,
                           const std::string& description);

// glibc's allocator returns and faults pages for every large message unless told otherwise. Call
// first in main.
void TuneAllocator();

}  // namespace histeq::rpc
