#include "api/watch.h"
#include "commands/session.h"
#include "display/json.h"
#include "display/names.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

struct CancelFlags {
  std::vector<std::string> jobs;
};

ExitCode RunCancel(Session& session, const CancelFlags& flags) {
  ExitCode worst = kOk;
  for (const std::string& id : flags.jobs) {
    const absl::StatusOr<v1::Job> job = session.client.CancelJob(id, session.Control());
    worst = Worse(worst, session.Report(id, job.status()));
    if (!job.ok()) continue;
    if (session.json) {
      session.display.OutText(ToJson(*job) + "\n");
    } else {
      session.display.Out(fmt::format(
          "{} {}", id, IsFinal(job->state()) ? StateName(job->state()) : "is being cancelled"));
    }
  }
  return worst;
}

}  // namespace

void AddCancelCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<CancelFlags>();
  CLI::App* command = app.add_subcommand("cancel", "End jobs");
  command->add_option("JOB", flags->jobs, "The jobs")->required();
  command->footer(
      "\nA queued job ends at once, a running one within seconds; a final one stays as it is.");
  Choose(*command, chosen, flags, RunCancel);
}

}  // namespace histeq::client
