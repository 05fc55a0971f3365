#pragma once

// The flags of an operation, for every command that starts one.

#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "commands/session.h"
#include "histeq/v1/operation.pb.h"

namespace histeq::client {

struct OperationFlags {
  std::string method;
  std::string color;
  std::optional<double> clip;
  std::string grid;
  std::optional<double> strength;
  std::optional<uint32_t> nodata;
  std::optional<uint32_t> significant_bits;
  std::string reference;
  std::string distribution;
  std::string percentiles;
};

// Adds them to a subcommand, in a group of their own. `flags` outlives it.
void AddOperationFlags(CLI::App& command, OperationFlags& flags);

// Whether any of them is given.
bool AnyGiven(const OperationFlags& flags);

// What they say, but for the reference.
v1::Equalize EqualizeOf(const OperationFlags& flags);

// The operation that they say. A reference that is a file is uploaded first.
absl::StatusOr<v1::Operation> OperationOf(const Session& session, const OperationFlags& flags);

}  // namespace histeq::client
