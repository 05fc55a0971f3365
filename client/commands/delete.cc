#include "commands/session.h"
#include "display/json.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

struct DeleteFlags {
  std::vector<std::string> images;
};

ExitCode RunDelete(Session& session, const DeleteFlags& flags) {
  ExitCode worst = kOk;
  for (const std::string& id : flags.images) {
    const absl::Status status = session.client.DeleteImage(id, session.Control());
    worst = Worse(worst, session.Report(id, status));
    if (!status.ok()) continue;
    if (session.json) {
      session.display.OutText(fmt::format("{{\"id\":{},\"deleted\":true}}\n", JsonString(id)));
    } else {
      session.display.Note(id + " deleted");
    }
  }
  return worst;
}

}  // namespace

void AddDeleteCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<DeleteFlags>();
  CLI::App* command = app.add_subcommand("delete", "Delete images and their bytes");
  command->add_option("IMAGE", flags->images, "The images")->required();
  command->footer("\nAn image that a job still needs stays: cancel the job, or wait for it.");
  Choose(*command, chosen, flags, RunDelete);
}

}  // namespace histeq::client
