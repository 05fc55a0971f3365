#include <algorithm>
#include <filesystem>
#include <iostream>
#include <set>

#include "api/byte_text.h"
#include "api/download.h"
#include "api/watch.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "commands/image_argument.h"
#include "commands/local_flags.h"
#include "commands/operation_flags.h"
#include "commands/output_path.h"
#include "commands/output_target.h"
#include "commands/session.h"
#include "commands/thumbnail_flags.h"
#include "display/json.h"
#include "engine/thumbnail_parameters.h"
#include "fmt/format.h"
#include "local/image_list.h"
#include "local/output_plan.h"

namespace histeq::client {
namespace {

struct ThumbnailFlags {
  LocalFlags local;
  size_t parallel = 4;
  ThumbnailOptions thumbnail;
  bool equalizes = false;
  OperationFlags operation;
};

absl::Status NoFolder(const std::string& folder, const std::error_code& error) {
  return base::MakeError(absl::StatusCode::kFailedPrecondition,
                         folder + ": the folder cannot be made: " + error.message(),
                         {.reason = "OUTPUT_NOT_WRITABLE"});
}

struct Downloaded {
  v1::Job job;
  std::vector<v1::Image> images;
};

// One image, by the services: all its results, each where `plan` says.
absl::StatusOr<Downloaded> ThumbnailOne(const Session& session, const ThumbnailFlags& flags,
                                        const Recipe& recipe, const std::string& input,
                                        const OutputPlan& plan, Display::Item& item) {
  for (const PlannedOutput& output : plan.outputs) {
    if (IsStandardOutput(output.path)) continue;
    const std::string folder =
        output.path.substr(0, output.path.size() - FileName(output.path).size());
    std::error_code error;
    if (!folder.empty()) std::filesystem::create_directories(folder, error);
    if (error) return NoFolder(folder, error);
    HISTEQ_RETURN_IF_ERROR(CheckOutput(output.path, flags.local.force));
  }
  std::vector<int> results;
  const v1::Operation operation = CombinedOperation(recipe, plan.outputs, results);
  HISTEQ_ASSIGN_OR_RETURN(const v1::UploadImageResponse uploaded,
                          UploadPath(session, input, &operation, item));
  WatchOptions options;
  options.job = [&](const v1::Job& job) { item.Job(job); };
  options.progress = [&](const v1::JobProgress& progress) { item.Working(progress); };
  const CallControl control = session.Control(item);
  HISTEQ_ASSIGN_OR_RETURN(Watched watched,
                          WatchJob(session.client, uploaded.job().id(), options, control));
  HISTEQ_RETURN_IF_ERROR(JobFailure(watched.job));
  Downloaded downloaded;
  downloaded.job = std::move(watched.job);
  if (static_cast<size_t>(downloaded.job.result_image_ids_size()) != results.size()) {
    return base::MakeError(absl::StatusCode::kInternal,
                           "the server made another number of results than was asked for",
                           {.reason = "BAD_ANSWER"});
  }
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i] < 0) continue;
    const std::string& path = plan.outputs[static_cast<size_t>(results[i])].path;
    OutputTarget target([&](const v1::Image&) { return path; }, flags.local.force, session.out);
    DownloadOptions download;
    download.received = [&](uint64_t received, uint64_t size) { item.Downloading(received, size); };
    HISTEQ_ASSIGN_OR_RETURN(
        v1::Image image,
        DownloadImage(session.client, downloaded.job.result_image_ids(static_cast<int>(i)),
                      download, target.Opener(), control));
    HISTEQ_RETURN_IF_ERROR(target.Commit());
    downloaded.images.push_back(std::move(image));
  }
  return downloaded;
}

ExitCode RunWithServices(Session& session, const ThumbnailFlags& flags, Recipe recipe) {
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
  if (flags.equalizes) {
    const absl::StatusOr<v1::Operation> operation = OperationOf(session, flags.operation);
    if (!operation.ok()) return session.Report(flags.operation.reference, operation.status());
    recipe.equalize = operation->equalize();
  }
  const std::string& out = flags.local.out;
  std::error_code error;
  OutputPlace place;
  place.path = out;
  place.is_file = !out.empty() && !list.many && !out.ends_with('/') &&
                  !std::filesystem::is_directory(out, error) && recipe.thumbnails.size() == 1 &&
                  !flags.equalizes;
  std::vector<OutputPlan> plans;
  std::set<std::string> seen;
  for (const InputImage& image : list.images) {
    absl::StatusOr<OutputPlan> plan =
        PlanOutputs(image, FormatByFirstBytes(image.path), recipe, place);
    if (!plan.ok()) {
      session.Report(image.path, plan.status());
      return kUsage;
    }
    for (const PlannedOutput& output : plan->outputs) {
      if (seen.insert(output.path).second) continue;
      session.Report("",
                     base::MakeError(absl::StatusCode::kInvalidArgument,
                                     fmt::format("two inputs would be written to {}", output.path),
                                     {.reason = "BAD_OUTPUT"}));
      return kUsage;
    }
    plans.push_back(*std::move(plan));
  }
  OrderedOutput output(session.display, list.images.size());
  session.display.ExpectItems(list.images.size());
  return Worse(
      refused, RunParallel(session, list.images.size(), flags.parallel, [&](size_t i) {
        const std::string& input = list.images[i].path;
        const auto item = session.display.Begin(input);
        const absl::StatusOr<Downloaded> downloaded =
            ThumbnailOne(session, flags, recipe, input, plans[i], *item);
        if (!downloaded.ok()) {
          output.Set(i, "");
          return session.Report(input, downloaded.status(), "input");
        }
        uint64_t bytes = 0;
        std::string outputs;
        for (size_t k = 0; k < downloaded->images.size(); ++k) {
          bytes += downloaded->images[k].size_bytes();
          outputs +=
              fmt::format("{}{{\"path\":{},\"image\":{}}}", k == 0 ? "" : ",",
                          JsonString(plans[i].outputs[k].path), ToJson(downloaded->images[k]));
        }
        item->Done(fmt::format("done: {} ({})", plans[i].outputs.front().path, ByteText(bytes)));
        output.Set(i, session.json && !IsStandardOutput(out)
                          ? fmt::format("{{\"input\":{},\"outputs\":[{}],\"job\":{}}}\n",
                                        JsonString(input), outputs, ToJson(downloaded->job))
                          : std::string());
        return kOk;
      }));
}

ExitCode RunThumbnail(Session& session, const ThumbnailFlags& flags) {
  if (flags.local.inputs.empty() && flags.local.jobs_from.empty()) {
    session.display.Error("IN is required, or --jobs-from");
    return kUsage;
  }
  if (!flags.equalizes && AnyGiven(flags.operation)) {
    session.display.Error("how contrast is changed counts with --equalize alone");
    return kUsage;
  }
  Recipe recipe;
  recipe.thumbnails = ThumbnailsOf(flags.thumbnail);
  if (recipe.thumbnails.size() > engine::kMaxThumbnails) {
    session.display.Error(fmt::format("--size: {} sizes; at most {} are made at once",
                                      recipe.thumbnails.size(), engine::kMaxThumbnails));
    return kUsage;
  }
  if (!IsLocal(session, flags.local)) return RunWithServices(session, flags, std::move(recipe));
  if (flags.equalizes) {
    const absl::StatusOr<v1::Equalize> equalize =
        LocalEqualizeOf(session, flags.local, flags.operation);
    if (!equalize.ok()) return session.Report(flags.operation.reference, equalize.status());
    recipe.equalize = *equalize;
  }
  return RunLocally(session, flags.local, recipe);
}

}  // namespace

void AddThumbnailCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<ThumbnailFlags>();
  CLI::App* command =
      app.add_subcommand("thumbnail", "Make smaller copies of files, here or with a server");
  command
      ->add_option("-o,--output", flags->local.out,
                   "A folder; for one input and one size also a file (- for the standard output). "
                   "Default: photo.jpg_thumb.jpg beside photo.jpg")
      ->type_name("OUT");
  command->add_option("--parallel", flags->parallel, "Inputs worked on at once by a server")
      ->capture_default_str()
      ->check(CLI::Range(1, 256))
      ->envname("HISTEQ_PARALLEL")
      ->type_name("N");
  AddThumbnailOptions(*command, "--size", /*required=*/true, flags->thumbnail);
  command
      ->add_flag("--equalize", flags->equalizes,
                 "Equalize first, and make the thumbnails of the result, which is kept too "
                 "(photo_EQUALIZED.jpg, photo_EQUALIZED.jpg_thumb.jpg)")
      ->group("Thumbnail");
  AddLocalFlags(*command, flags->local);
  AddOperationFlags(*command, flags->operation);
  command->footer(
      "\nExamples:\n"
      "  histeq thumbnail photo.jpg --size 256               photo.jpg_thumb.jpg\n"
      "  histeq thumbnail photos/ -r --size 256 --size 1024x768 -o thumbs/ --processes 4\n"
      "  histeq thumbnail photos/ --size 320x240 --fit cover --format jpeg -o thumbs/\n"
      "  histeq thumbnail photo.jpg --size 256 --equalize --method clahe\n"
      "\nOf several images each is made once, as with equalize. Global flags: histeq --help.");
  Choose(*command, chosen, flags, RunThumbnail);
}

}  // namespace histeq::client
