#pragma once

// The inside of a worker process.

#include <string>
#include <vector>

namespace histeq::client {

// Runs `histeq worker-process` to its end; the exit code. `arguments` come behind that name: those
// that WorkerProcess::Start gives. Not for people.
int RunFileWorker(std::vector<std::string> arguments);

}  // namespace histeq::client
