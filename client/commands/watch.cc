#include "api/watch.h"

#include "api/byte_text.h"
#include "commands/job_text.h"
#include "commands/output_path.h"
#include "commands/output_target.h"
#include "commands/session.h"
#include "display/json.h"
#include "display/names.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

struct WatchFlags {
  std::string job;
  std::string out;
  bool force = false;
};

ExitCode RunWatch(Session& session, const WatchFlags& flags) {
  const auto item = session.display.Begin(flags.job);
  session.display.ExpectItems(1);
  OutputTarget target(
      [&](const v1::Image& image) {
        return IsStandardOutput(flags.out) ? flags.out : ImagePath(image, flags.out);
      },
      flags.force, session.out);
  WatchOptions options;
  options.job = [&](const v1::Job& job) { item->Job(job); };
  options.progress = [&](const v1::JobProgress& progress) { item->Working(progress); };
  options.received = [&](uint64_t received, uint64_t size) { item->Downloading(received, size); };
  if (!flags.out.empty()) options.open_result = target.Opener();
  const absl::StatusOr<Watched> watched =
      WatchJob(session.client, flags.job, options, session.Control(*item));
  if (!watched.ok()) return session.Report(flags.job, watched.status());
  if (const absl::Status failure = JobFailure(watched->job); !failure.ok()) {
    return session.Report(flags.job, failure);
  }
  if (watched->result.has_value()) {
    if (const absl::Status status = target.Commit(); !status.ok()) {
      return session.Report(flags.job, status);
    }
  }
  item->Done(watched->result.has_value()
                 ? fmt::format("{} ({})", target.path(), ByteText(watched->result->size_bytes()))
                 : "");
  if (IsStandardOutput(flags.out)) return kOk;
  if (session.json) {
    session.display.OutText(ToJson(watched->job) + "\n");
  } else if (!watched->result.has_value()) {
    session.display.OutText(JobText(watched->job));
  }
  return kOk;
}

}  // namespace

void AddWatchCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<WatchFlags>();
  CLI::App* command = app.add_subcommand("watch", "Follow a job to its end, and fetch its result");
  command->add_option("JOB", flags->job, "The job")->required();
  command
      ->add_option("-o,--output", flags->out,
                   "Download the result to this file, or into this folder (- for the standard "
                   "output). Default: only follow")
      ->type_name("OUT");
  command->add_flag("--force", flags->force, "Replace a file that exists already");
  command->footer(
      "\nMay be called any number of times, also after the job has ended. Exit code 1 when the job "
      "failed or was\ncancelled.\n\nExample:\n  histeq watch JOB -o result.jpg");
  Choose(*command, chosen, flags, RunWatch);
}

}  // namespace histeq::client
