#include <filesystem>

#include "api/byte_text.h"
#include "api/watch.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "commands/image_argument.h"
#include "commands/operation_flags.h"
#include "commands/output_path.h"
#include "commands/output_target.h"
#include "commands/session.h"
#include "display/json.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

struct EqualizeFlags {
  std::vector<std::string> inputs;
  std::string out;
  size_t parallel = 4;
  bool keep_name = false;
  bool force = false;
  OperationFlags operation;
};

// For a shell.
std::string Quoted(const std::string& word) {
  if (!word.empty() && word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                              "0123456789_-./+,:@%=") == std::string::npos) {
    return word;
  }
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

struct Equalized {
  std::string path;
  v1::Job job;
  v1::Image image;
};

absl::StatusOr<Equalized> EqualizeOne(const Session& session, const EqualizeFlags& flags,
                                      const v1::Operation& operation, const std::string& input,
                                      const std::string& path, Display::Item& item) {
  if (!IsStandardOutput(path)) HISTEQ_RETURN_IF_ERROR(CheckOutput(path, flags.force));
  HISTEQ_ASSIGN_OR_RETURN(v1::UploadImageResponse uploaded,
                          UploadPath(session, input, &operation, item));
  Equalized equalized;
  equalized.job = std::move(*uploaded.mutable_job());
  const std::string job_id = equalized.job.id();
  if (job_id.empty()) {
    return base::MakeError(absl::StatusCode::kInternal, "the server began no job for the image",
                           {.reason = "BAD_ANSWER"});
  }
  OutputTarget target([&](const v1::Image&) { return path; }, flags.force, session.out);
  WatchOptions options;
  options.job = [&](const v1::Job& job) { item.Job(job); };
  options.progress = [&](const v1::JobProgress& progress) { item.Working(progress); };
  options.open_result = target.Opener();
  options.received = [&](uint64_t received, uint64_t size) { item.Downloading(received, size); };
  const CallControl control = session.Control(item);
  absl::StatusOr<Watched> watched = WatchJob(session.client, job_id, options, control);
  if (!watched.ok()) {
    if (session.token.cancelled() || IsUnreachable(watched.status())) {
      session.display.Error(
          fmt::format("{}: job {} goes on without this command; its result: "
                      "histeq watch {} -o {}",
                      input, job_id, job_id, Quoted(path)));
    }
    return watched.status();
  }
  HISTEQ_RETURN_IF_ERROR(JobFailure(watched->job));
  HISTEQ_RETURN_IF_ERROR(target.Commit());
  equalized.path = path;
  equalized.job = std::move(watched->job);
  equalized.image = std::move(*watched->result);
  return equalized;
}

ExitCode RunEqualize(Session& session, const EqualizeFlags& flags) {
  const absl::StatusOr<std::vector<std::string>> paths =
      OutputPaths(flags.inputs, flags.out, flags.keep_name);
  if (!paths.ok()) {
    session.Report("", paths.status());
    return kUsage;
  }
  const absl::StatusOr<v1::Operation> operation = OperationOf(session, flags.operation);
  if (!operation.ok()) return session.Report(flags.operation.reference, operation.status());
  if (const std::string folder = OutputFolder(flags.inputs, flags.out); !folder.empty()) {
    std::error_code error;
    std::filesystem::create_directory(folder, error);
    if (error) {
      return session.Report(folder, base::MakeError(absl::StatusCode::kFailedPrecondition,
                                                    "the folder cannot be made: " + error.message(),
                                                    {.reason = "OUTPUT_NOT_WRITABLE"}));
    }
  }
  OrderedOutput output(session.display, flags.inputs.size());
  session.display.ExpectItems(flags.inputs.size());
  return RunParallel(session, flags.inputs.size(), flags.parallel, [&](size_t i) {
    const std::string& input = flags.inputs[i];
    const absl::Duration began = base::SystemClock().Monotonic();
    const auto item = session.display.Begin(input);
    const absl::StatusOr<Equalized> equalized =
        EqualizeOne(session, flags, *operation, input, (*paths)[i], *item);
    if (!equalized.ok()) {
      output.Set(i, "");
      return session.Report(input, equalized.status(), "input");
    }
    const double seconds = absl::ToDoubleSeconds(base::SystemClock().Monotonic() - began);
    item->Done(fmt::format("done in {:.1f} s: {} ({})", seconds, equalized->path,
                           ByteText(equalized->image.size_bytes())));
    std::string text;
    if (session.json && !IsStandardOutput(equalized->path)) {
      text = fmt::format("{{\"input\":{},\"output\":{},\"job\":{},\"image\":{}}}\n",
                         JsonString(input), JsonString(equalized->path), ToJson(equalized->job),
                         ToJson(equalized->image));
    }
    output.Set(i, text);
    return kOk;
  });
}

}  // namespace

void AddEqualizeCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<EqualizeFlags>();
  CLI::App* command =
      app.add_subcommand("equalize", "Equalize files: upload, wait, fetch the results");
  command->add_option("IN", flags->inputs, "Files to equalize")->required();
  command
      ->add_option("-o,--output", flags->out,
                   "A file for one input (- for the standard output), a folder for several. "
                   "Default: photo_EQUALIZED.jpg beside photo.jpg")
      ->type_name("OUT");
  command->add_option("--parallel", flags->parallel, "Inputs worked on at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 256))
      ->envname("HISTEQ_PARALLEL")
      ->type_name("N");
  command->add_flag("--keep-name", flags->keep_name,
                    "Results in the folder OUT keep the names of their inputs");
  command->add_flag("--force", flags->force, "Replace files that exist already");
  AddOperationFlags(*command, flags->operation);
  command->footer(
      "\nExamples:\n"
      "  histeq equalize photo.jpg                      photo_EQUALIZED.jpg\n"
      "  histeq equalize photo.jpg -o better.jpg\n"
      "  histeq equalize scans/*.png -o equalized/ --parallel 8\n"
      "  histeq equalize xray.png --method clahe --grid 8x8 --clip 2\n"
      "  histeq equalize today.png --reference yesterday.png\n"
      "\nInterrupted, the command leaves no half-written file; jobs that were queued go on, and it "
      "says how their\nresults are fetched. Global flags: histeq --help.");
  Choose(*command, chosen, flags, RunEqualize);
}

}  // namespace histeq::client
