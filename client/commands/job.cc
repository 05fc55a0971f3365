#include "commands/job_text.h"
#include "commands/session.h"
#include "display/json.h"

namespace histeq::client {
namespace {

struct JobFlags {
  std::string job;
};

ExitCode RunJob(Session& session, const JobFlags& flags) {
  const absl::StatusOr<v1::Job> job = session.client.GetJob(flags.job, session.Control());
  if (!job.ok()) return session.Report(flags.job, job.status());
  session.display.OutText(session.json ? ToJson(*job) + "\n" : JobText(*job));
  return kOk;
}

}  // namespace

void AddJobCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<JobFlags>();
  CLI::App* command = app.add_subcommand("job", "Show one job");
  command->add_option("JOB", flags->job, "The job")->required();
  Choose(*command, chosen, flags, RunJob);
}

}  // namespace histeq::client
