#pragma once

// The flags of work without services, and the work, for every command that can do it.

#include <functional>
#include <string>
#include <vector>

#include "commands/operation_flags.h"
#include "commands/session.h"
#include "local/output_plan.h"

namespace histeq::client {

struct LocalFlags {
  std::vector<std::string> inputs;
  std::string jobs_from;
  bool recursive = false;
  std::string out;
  bool keep_name = false;
  bool force = false;
  // 0: not given.
  uint32_t threads = 0;
  uint32_t processes = 0;
  uint64_t image_budget_bytes = 512ull << 20;
  uint64_t worker_memory_bytes = 4ull << 30;
  uint64_t max_pixels = 1'000'000'000;
  double image_timeout_s = 300;
  std::string scratch_dir;
  std::vector<std::string> test_faults;
};

// Adds them, with the inputs but without -o and --keep-name, to a subcommand. `flags` outlives it.
void AddLocalFlags(CLI::App& command, LocalFlags& flags);

// Whether the command works by itself: --threads or --processes is given, or no server is.
bool IsLocal(const Session& session, const LocalFlags& flags);

// What the operation's flags say; a reference, which is a file, is counted by this command.
absl::StatusOr<v1::Equalize> LocalEqualizeOf(const Session& session, const LocalFlags& flags,
                                             const OperationFlags& operation);

// Makes `recipe` of all inputs; prints what becomes of them.
ExitCode RunLocally(const Session& session, const LocalFlags& flags, const Recipe& recipe);

}  // namespace histeq::client
