#pragma once

// The histeq program as a function.

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "base/cancel.h"

namespace histeq::client {

// What it finds around it. Streams outlive the run.
struct Surroundings {
  std::ostream& out;
  std::ostream& err;
  // `err` is a terminal that a line can be redrawn on, and colours may be used there.
  bool redraw = false;
  bool color = false;
  bool utf8 = false;
  std::function<size_t()> columns = {};
  // Cancelled by Ctrl-C.
  base::CancelToken token = {};
  // The histeq program, which the command may start again as a worker process.
  std::string worker_program = "/proc/self/exe";
};

// Runs the command line, without the program's name, to its end; the exit code. Reads the
// environment variables that --help names. Thread-safe.
int RunProgram(std::vector<std::string> arguments, const Surroundings& surroundings);

}  // namespace histeq::client
