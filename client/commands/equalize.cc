#include <algorithm>
#include <filesystem>
#include <iostream>
#include <set>

#include "api/byte_text.h"
#include "api/watch.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "commands/image_argument.h"
#include "commands/local_flags.h"
#include "commands/operation_flags.h"
#include "commands/output_path.h"
#include "commands/output_target.h"
#include "commands/session.h"
#include "display/json.h"
#include "fmt/format.h"
#include "local/image_list.h"
#include "local/output_plan.h"

namespace histeq::client {
namespace {

struct EqualizeFlags {
  LocalFlags local;
  size_t parallel = 4;
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

absl::Status NoFolder(const std::string& folder, const std::error_code& error) {
  return base::MakeError(absl::StatusCode::kFailedPrecondition,
                         folder + ": the folder cannot be made: " + error.message(),
                         {.reason = "OUTPUT_NOT_WRITABLE"});
}

struct Equalized {
  std::string path;
  v1::Job job;
  v1::Image image;
};

absl::StatusOr<Equalized> EqualizeOne(const Session& session, const EqualizeFlags& flags,
                                      const v1::Operation& operation, const std::string& input,
                                      const std::string& path, Display::Item& item) {
  if (!IsStandardOutput(path)) HISTEQ_RETURN_IF_ERROR(CheckOutput(path, flags.local.force));
  HISTEQ_ASSIGN_OR_RETURN(v1::UploadImageResponse uploaded,
                          UploadPath(session, input, &operation, item));
  Equalized equalized;
  equalized.job = std::move(*uploaded.mutable_job());
  const std::string job_id = equalized.job.id();
  if (job_id.empty()) {
    return base::MakeError(absl::StatusCode::kInternal, "the server began no job for the image",
                           {.reason = "BAD_ANSWER"});
  }
  OutputTarget target([&](const v1::Image&) { return path; }, flags.local.force, session.out);
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

// Where the result of each image goes, and the folders that it needs are made.
absl::StatusOr<std::vector<std::string>> ResultPaths(const ImageList& list,
                                                     const LocalFlags& flags) {
  std::vector<std::string> paths;
  if (std::all_of(list.images.begin(), list.images.end(),
                  [](const InputImage& image) { return image.root_bytes == 0; })) {
    std::vector<std::string> inputs;
    for (const InputImage& image : list.images) inputs.push_back(image.path);
    HISTEQ_ASSIGN_OR_RETURN(paths, OutputPaths(inputs, flags.out, flags.keep_name));
    // Only a last part that is missing.
    if (const std::string folder = OutputFolder(inputs, flags.out); !folder.empty()) {
      std::error_code error;
      std::filesystem::create_directory(folder, error);
      if (error) return NoFolder(folder, error);
    }
    return paths;
  }
  Recipe recipe;
  recipe.equalize.emplace();
  const OutputPlace place = {.path = flags.out, .is_file = false, .keep_name = flags.keep_name};
  std::set<std::string> seen;
  for (const InputImage& image : list.images) {
    // The format counts for thumbnails alone.
    HISTEQ_ASSIGN_OR_RETURN(OutputPlan plan,
                            PlanOutputs(image, codec::ImageFormat::kJpeg, recipe, place));
    std::string path = std::move(plan.outputs.front().path);
    if (!seen.insert(path).second) {
      return base::MakeError(absl::StatusCode::kInvalidArgument,
                             fmt::format("two inputs would be written to {}", path),
                             {.reason = "BAD_OUTPUT"});
    }
    const std::string folder = path.substr(0, path.size() - FileName(path).size());
    std::error_code error;
    if (!folder.empty()) std::filesystem::create_directories(folder, error);
    if (error) return NoFolder(folder, error);
    paths.push_back(std::move(path));
  }
  return paths;
}

ExitCode RunWithServices(Session& session, const EqualizeFlags& flags) {
  ImageListOptions list_options;
  list_options.recursive = flags.local.recursive;
  list_options.jobs_from = flags.local.jobs_from;
  list_options.in = &std::cin;
  list_options.token = session.token;
  list_options.output_folder = flags.local.out;
  const ImageList list = ListImages(flags.local.inputs, list_options);
  ExitCode refused = kOk;
  for (const auto& [input, status] : list.refused) {
    refused = Worse(refused, session.Report(input, status, "input"));
  }
  const absl::StatusOr<std::vector<std::string>> paths = ResultPaths(list, flags.local);
  if (!paths.ok()) {
    session.Report("", paths.status());
    return kUsage;
  }
  const absl::StatusOr<v1::Operation> operation = OperationOf(session, flags.operation);
  if (!operation.ok()) return session.Report(flags.operation.reference, operation.status());
  OrderedOutput output(session.display, list.images.size());
  session.display.ExpectItems(list.images.size());
  return Worse(refused, RunParallel(session, list.images.size(), flags.parallel, [&](size_t i) {
                 const std::string& input = list.images[i].path;
                 const absl::Duration began = base::SystemClock().Monotonic();
                 const auto item = session.display.Begin(input);
                 const absl::StatusOr<Equalized> equalized =
                     EqualizeOne(session, flags, *operation, input, (*paths)[i], *item);
                 if (!equalized.ok()) {
                   output.Set(i, "");
                   return session.Report(input, equalized.status(), "input");
                 }
                 const double seconds =
                     absl::ToDoubleSeconds(base::SystemClock().Monotonic() - began);
                 item->Done(fmt::format("done in {:.1f} s: {} ({})", seconds, equalized->path,
                                        ByteText(equalized->image.size_bytes())));
                 std::string text;
                 if (session.json && !IsStandardOutput(equalized->path)) {
                   text = fmt::format("{{\"input\":{},\"output\":{},\"job\":{},\"image\":{}}}\n",
                                      JsonString(input), JsonString(equalized->path),
                                      ToJson(equalized->job), ToJson(equalized->image));
                 }
                 output.Set(i, text);
                 return kOk;
               }));
}

ExitCode RunEqualize(Session& session, const EqualizeFlags& flags) {
  if (flags.local.inputs.empty() && flags.local.jobs_from.empty()) {
    session.display.Error("IN is required, or --jobs-from");
    return kUsage;
  }
  if (!IsLocal(session, flags.local)) return RunWithServices(session, flags);
  Recipe recipe;
  const absl::StatusOr<v1::Equalize> equalize =
      LocalEqualizeOf(session, flags.local, flags.operation);
  if (!equalize.ok()) return session.Report(flags.operation.reference, equalize.status());
  recipe.equalize = *equalize;
  return RunLocally(session, flags.local, recipe);
}

}  // namespace

void AddEqualizeCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<EqualizeFlags>();
  CLI::App* command = app.add_subcommand("equalize", "Equalize files, here or with a server");
  command
      ->add_option("-o,--output", flags->local.out,
                   "A file for one input (- for the standard output), a folder for several. "
                   "Default: photo_EQUALIZED.jpg beside photo.jpg")
      ->type_name("OUT");
  command->add_option("--parallel", flags->parallel, "Inputs worked on at once by a server")
      ->capture_default_str()
      ->check(CLI::Range(1, 256))
      ->envname("HISTEQ_PARALLEL")
      ->type_name("N");
  command->add_flag("--keep-name", flags->local.keep_name,
                    "Results in the folder OUT keep the names of their inputs");
  AddLocalFlags(*command, flags->local);
  AddOperationFlags(*command, flags->operation);
  command->footer(
      "\nExamples:\n"
      "  histeq equalize photo.jpg                      photo_EQUALIZED.jpg\n"
      "  histeq equalize photo.jpg -o better.jpg\n"
      "  histeq equalize scans/ --recursive -o equalized/ --processes 8\n"
      "  find . -name '*.jpg' | histeq equalize --jobs-from - -o equalized/\n"
      "  histeq equalize scans/*.png -o equalized/ --server images.example.org:7070\n"
      "  histeq equalize xray.png --method clahe --grid 8x8 --clip 2\n"
      "  histeq equalize today.png --reference yesterday.png\n"
      "\nOf several images each is made once: a registry in the folder of the results "
      "(.histeq.sqlite) says what is\nmade, and by whom. Started again, also after Ctrl-C or a "
      "crash, or twice at once, the command makes what is\nmissing. Interrupted, it leaves no "
      "half-written file; jobs that were queued on a server go on, and it says how\ntheir results "
      "are fetched. Global flags: histeq --help.");
  Choose(*command, chosen, flags, RunEqualize);
}

}  // namespace histeq::client
