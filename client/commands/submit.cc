#include "api/watch.h"
#include "base/status_macros.h"
#include "commands/operation_flags.h"
#include "commands/session.h"
#include "commands/thumbnail_flags.h"
#include "display/json.h"
#include "display/names.h"
#include "display/printable.h"

namespace histeq::client {
namespace {

struct SubmitFlags {
  std::vector<std::string> images;
  bool wait = false;
  size_t parallel = 4;
  bool refresh = false;
  bool equalizes = false;
  ThumbnailOptions thumbnail;
  OperationFlags operation;
};

// Equalize, thumbnails, or both.
absl::StatusOr<v1::Operation> SubmittedOperation(const Session& session, const SubmitFlags& flags) {
  const std::vector<v1::Thumbnail> thumbnails = ThumbnailsOf(flags.thumbnail);
  const bool equalizes = thumbnails.empty() || flags.equalizes || AnyGiven(flags.operation);
  v1::Operation operation;
  if (equalizes) {
    HISTEQ_ASSIGN_OR_RETURN(operation, OperationOf(session, flags.operation));
    if (thumbnails.empty()) return operation;
  } else if (thumbnails.size() == 1) {
    *operation.mutable_thumbnail() = thumbnails.front();
    return operation;
  }
  v1::Derive derive;
  if (equalizes) *derive.mutable_equalize() = operation.equalize();
  for (const v1::Thumbnail& thumbnail : thumbnails) *derive.add_thumbnails() = thumbnail;
  *operation.mutable_derive() = std::move(derive);
  return operation;
}

ExitCode RunSubmit(Session& session, const SubmitFlags& flags) {
  const absl::StatusOr<v1::Operation> operation = SubmittedOperation(session, flags);
  if (!operation.ok()) return session.Report(flags.operation.reference, operation.status());
  OrderedOutput output(session.display, flags.images.size());
  session.display.ExpectItems(flags.images.size());
  return RunParallel(session, flags.images.size(), flags.parallel, [&](size_t i) {
    const std::string& image = flags.images[i];
    const auto item = session.display.Begin(image);
    const CallControl control = session.Control(*item);
    absl::StatusOr<v1::Job> job =
        session.client.CreateJob(image, *operation, flags.refresh, control);
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
    item->Done(flags.wait ? "" : StateName(job->state()));
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
  command->add_flag("--refresh", flags->refresh, "Make the results anew, also when they are there");
  AddThumbnailOptions(*command, "--thumbnail", /*required=*/false, flags->thumbnail);
  command
      ->add_flag("--equalize", flags->equalizes,
                 "With --thumbnail: equalize too, and make the thumbnails of the result")
      ->group("Thumbnail");
  AddOperationFlags(*command, flags->operation);
  command->footer(
      "\nOne id a line, in the order of the images. What is there already is not made again.\n"
      "\nExamples:\n"
      "  job=$(histeq submit IMAGE --method stretch --percentiles 2,98 --quiet)\n"
      "  histeq watch $job -o result.jpg\n"
      "  histeq submit IMAGE --thumbnail 256 --thumbnail 1024x768 --wait");
  Choose(*command, chosen, flags, RunSubmit);
}

}  // namespace histeq::client
