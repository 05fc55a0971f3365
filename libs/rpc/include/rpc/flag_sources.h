#pragma once

// Where flags come from beside the command line: the environment, and a file.

#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"

namespace histeq::rpc {

// The variable of a flag: "histeq-worker" and "max-pixels" give HISTEQ_WORKER_MAX_PIXELS.
std::string EnvironmentName(const std::string& program, const std::string& option);

// Adds --config FILE (TOML; a subcommand's flags in a section of its name) to `app`, and gives
// every option with a long name a variable, those of subcommands too ("histeq", "equalize" and
// "method": HISTEQ_EQUALIZE_METHOD), unless it has one. Call it when all options are there. The
// command line wins over the environment, that over the file. `app` outlives its own parsing.
void ReadFlagsFromElsewhere(CLI::App& app, const std::string& program);

// Puts the file that the variable of --config names into the arguments, unless they have one: the
// file is read before the environment.
void AddConfigFromEnvironment(const std::string& program, std::vector<std::string>& arguments);

}  // namespace histeq::rpc
