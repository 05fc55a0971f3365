#include "commands/session.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

struct CoordinatorFlags {
  std::string name;
  std::string address;
};

ExitCode RunAdd(Session& session, const CoordinatorFlags& flags) {
  const absl::Status status =
      session.client.RegisterCoordinator(flags.name, flags.address, session.Control());
  if (status.ok()) session.display.Note(fmt::format("{} may connect", flags.name));
  return session.Report(flags.name, status);
}

ExitCode RunRemove(Session& session, const CoordinatorFlags& flags) {
  const absl::Status status = session.client.RemoveCoordinator(flags.name, session.Control());
  if (status.ok()) session.display.Note(fmt::format("{} may no longer connect", flags.name));
  return session.Report(flags.name, status);
}

}  // namespace

void AddCoordinatorCommand(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand(
      "coordinator", "Say which coordinators may connect: add NAME ADDRESS, remove NAME");
  command->require_subcommand(1);
  command->footer(
      "\nWhile no coordinator is on the list every one may connect; from the first one on, others "
      "are refused.");
  const auto flags = std::make_shared<CoordinatorFlags>();
  CLI::App* add = command->add_subcommand("add", "Put a coordinator on the list");
  add->add_option("NAME", flags->name, "Its name")->required();
  add->add_option("ADDRESS", flags->address, "Its address, host:port")->required();
  Choose(*add, chosen, flags, RunAdd);
  CLI::App* remove = command->add_subcommand("remove", "Take a coordinator off the list");
  remove->add_option("NAME", flags->name, "Its name")->required();
  Choose(*remove, chosen, flags, RunRemove);
}

}  // namespace histeq::client
