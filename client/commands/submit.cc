#include "api/watch.h"
#include "commands/operation_flags.h"
#include "commands/session.h"
#include "display/json.h"
#include "display/names.h"
#include "display/printable.h"

namespace histeq::client {
namespace {

struct SubmitFlags {
  std::vector<std::string> images;
  bool wait = false;
  size_t parallel = 4;
  OperationFlags operation;
};

ExitCode RunSubmit(Session& session, const SubmitFlags& flags) {
  const absl::StatusOr<v1::Operation> operation = OperationOf(session, flags.operation);
  if (!operation.ok()) return session.Report(flags.operation.reference, operation.status());
  OrderedOutput output(session.display, flags.images.size());
  session.display.ExpectItems(flags.images.size());
  return RunParallel(session, flags.images.size(), flags.parallel, [&](size_t i) {
    const std::string& image = flags.images[i];
    const auto item = session.display.Begin(image);
    const CallControl control = session.Control(*item);
    absl::StatusOr<v1::Job> job = session.client.CreateJob(image, *operation, control);
    if (!job.ok()) {
      output.Set(i, "");
      return session.Report(image, job.status());
    }
    absl::Status status;
    if (!session.json) output.Set(i, Printable(job->id()) + "\n");
    if (flags.wait) {
      WatchOptions options;
      options.job = [&](const v1::Job& changed) { item->Job(changed); };
      options.progress = [&](const v1::JobProgress& progress) { item->Working(progress); };
      absl::StatusOr<Watched> watched = WatchJob(session.client, job->id(), options, control);
      if (watched.ok()) *job = std::move(watched->job);
      status = watched.ok() ? JobFailure(*job) : watched.status();
    }
    if (session.json) output.Set(i, ToJson(*job) + "\n");
    if (!status.ok()) return session.Report(job->id(), status);
    item->Done(flags.wait ? "" : "queued");
    return kOk;
  });
}

}  // namespace

void AddSubmitCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<SubmitFlags>();
  CLI::App* command =
      app.add_subcommand("submit", "Queue a job for stored images; prints the ids of the jobs");
  command->add_option("IMAGE", flags->images, "Ids of stored images")->required();
  command->add_flag("--wait", flags->wait,
                    "Follow the jobs to their end; exit code 1 when one fails");
  command->add_option("--parallel", flags->parallel, "Images worked on at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 256))
      ->envname("HISTEQ_PARALLEL")
      ->type_name("N");
  AddOperationFlags(*command, flags->operation);
  command->footer(
      "\nOne id a line, in the order of the images.\n\nExample:\n"
      "  job=$(histeq submit IMAGE --method stretch --percentiles 2,98 --quiet)\n"
      "  histeq watch $job -o result.jpg");
  Choose(*command, chosen, flags, RunSubmit);
}

}  // namespace histeq::client
