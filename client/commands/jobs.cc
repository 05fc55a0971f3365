#include "base/status_macros.h"
#include "commands/session.h"
#include "display/json.h"
#include "display/names.h"
#include "display/printable.h"
#include "display/table.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

struct JobsFlags {
  std::string state;
  std::string image;
  uint64_t limit = 100;
};

std::string How(const v1::Job& job) {
  switch (job.state()) {
    case v1::JOB_STATE_SUCCEEDED:
      return job.result_image_id();
    case v1::JOB_STATE_FAILED:
      return job.error().reason();
    case v1::JOB_STATE_RUNNING:
      return job.progress().segments_total() == 0
                 ? job.coordinator()
                 : fmt::format("{}, {} {}/{}", job.coordinator(), StageName(job.progress().stage()),
                               job.progress().segments_done(), job.progress().segments_total());
    default:
      return job.waiting_for().empty() ? "" : "waits for " + job.waiting_for();
  }
}

ExitCode RunJobs(Session& session, const JobsFlags& flags) {
  v1::ListJobsRequest filter;
  if (!flags.state.empty()) filter.set_state(*StateByName(flags.state));
  filter.set_image_id(flags.image);
  Table table({"JOB", "STATE", "IMAGE", "CREATED", "OPERATION", "RESULT"});
  const absl::Status status = session.client.ListJobs(
      filter, flags.limit,
      [&](const v1::Job& job) {
        if (session.json) {
          session.display.OutText(ToJson(job) + "\n");
        } else {
          table.AddRow({Printable(job.id()), StateName(job.state()), Printable(job.image_name()),
                        TimeText(job.create_time()), OperationText(job.operation()),
                        Printable(How(job))});
        }
        return absl::OkStatus();
      },
      session.Control());
  session.display.OutText(table.Text());
  return session.Report("", status);
}

}  // namespace

void AddJobsCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<JobsFlags>();
  CLI::App* command = app.add_subcommand("jobs", "List jobs, newest first");
  command->add_option("--state", flags->state, "Only jobs in this state")
      ->check(CLI::IsMember({"queued", "running", "succeeded", "failed", "cancelled"}));
  command->add_option("--image", flags->image, "Only jobs of this image")->type_name("IMAGE");
  command->add_option("--limit", flags->limit, "At most this many; 0: all")->capture_default_str();
  Choose(*command, chosen, flags, RunJobs);
}

}  // namespace histeq::client
