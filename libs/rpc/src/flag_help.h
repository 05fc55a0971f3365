#pragma once

// How --help looks.

#include <memory>

#include "CLI/CLI.hpp"

namespace histeq::rpc {

// Options with their defaults, descriptions wrapped beside them; no environment variable at each
// one, since the footer explains them all.
std::shared_ptr<CLI::FormatterBase> MakeHelpFormatter();

}  // namespace histeq::rpc
