#pragma once

// The flags of the commands that make something of many files, here or with services.

#include <cstdint>
#include <string>
#include <vector>

#include "commands/session.h"

namespace histeq::client {

struct ImageFlags {
  std::vector<std::string> inputs;
  std::string jobs_from;
  bool recursive = false;
  std::string out;
  bool keep_name = false;
  bool force = false;
  // By services: images at once.
  uint32_t parallel = 4;
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
void AddImageFlags(CLI::App& command, ImageFlags& flags);

// Whether the command works by itself: --threads or --processes is given, or no server is.
bool IsLocal(const Session& session, const ImageFlags& flags);

// Where temporary files go that belong to no result.
std::string ScratchFolder(const ImageFlags& flags);

}  // namespace histeq::client
