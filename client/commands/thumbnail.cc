#include <algorithm>
#include <filesystem>
#include <iostream>
#include <set>

#include "absl/strings/numbers.h"
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
  std::vector<std::string> sizes;
  std::string fit = "inside";
  std::string format = "same";
  std::optional<uint32_t> quality;
  bool enlarge = false;
  bool linear = false;
  std::string background;
  bool equalizes = false;
  OperationFlags operation;
};

// "256" or "320x240".
bool ParseSize(const std::string& text, uint32_t& width, uint32_t& height) {
  const size_t cross = text.find('x');
  if (!absl::SimpleAtoi(text.substr(0, cross), &width)) return false;
  if (cross == std::string::npos) {
    height = width;
  } else if (!absl::SimpleAtoi(text.substr(cross + 1), &height)) {
    return false;
  }
  return width >= 1 && height >= 1 && width <= engine::kMaxThumbnailDimension &&
         height <= engine::kMaxThumbnailDimension;
}

bool ParseColor(const std::string& text, uint32_t& color) {
  const std::string digits = text.starts_with('#') ? text.substr(1) : text;
  return digits.size() == 6 && absl::SimpleHexAtoi(digits, &color);
}

std::vector<v1::Thumbnail> ThumbnailsOf(const ThumbnailFlags& flags) {
  std::vector<v1::Thumbnail> thumbnails;
  for (const std::string& size : flags.sizes) {
    v1::Thumbnail thumbnail;
    uint32_t width = 0;
    uint32_t height = 0;
    ParseSize(size, width, height);
    thumbnail.set_width(width);
    thumbnail.set_height(height);
    thumbnail.set_fit(flags.fit == "cover"   ? v1::Thumbnail::FIT_COVER
                      : flags.fit == "exact" ? v1::Thumbnail::FIT_EXACT
                                             : v1::Thumbnail::FIT_INSIDE);
    if (flags.format == "jpeg") thumbnail.set_format(v1::IMAGE_FORMAT_JPEG);
    if (flags.format == "png") thumbnail.set_format(v1::IMAGE_FORMAT_PNG);
    if (flags.quality.has_value()) thumbnail.set_quality(*flags.quality);
    thumbnail.set_enlarge(flags.enlarge);
    thumbnail.set_linear_light(flags.linear);
    if (uint32_t color = 0; ParseColor(flags.background, color)) thumbnail.set_background(color);
    // No two alike: one of them is enough.
    const bool known = std::any_of(thumbnails.begin(), thumbnails.end(), [&](const auto& other) {
      return other.width() == width && other.height() == height;
    });
    if (!known) thumbnails.push_back(std::move(thumbnail));
  }
  return thumbnails;
}

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
  recipe.thumbnails = ThumbnailsOf(flags);
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
  constexpr const char* kGroup = "Thumbnail";
  command
      ->add_option("--size", flags->sizes,
                   "Pixels: the longest side, or width and height; several sizes decode the image "
                   "once (photo.jpg_thumb_256x256.jpg)")
      ->required()
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("N|WxH")
      ->check([](const std::string& text) {
        uint32_t width = 0;
        uint32_t height = 0;
        return ParseSize(text, width, height)
                   ? std::string()
                   : "a size is wanted, as in 256 or 320x240, 1 to 16384";
      })
      ->group(kGroup);
  command
      ->add_option("--fit", flags->fit,
                   "inside: as large as fits in, the aspect kept; cover: fills it, the middle cut "
                   "out; exact: stretched")
      ->capture_default_str()
      ->check(CLI::IsMember({"inside", "cover", "exact"}))
      ->group(kGroup);
  command->add_option("--format", flags->format, "Of the result")
      ->capture_default_str()
      ->check(CLI::IsMember({"same", "jpeg", "png"}))
      ->group(kGroup);
  command->add_option("--quality", flags->quality, "Of a JPEG, 1 to 100; default 85")
      ->check(CLI::Range(1, 100))
      ->type_name("N")
      ->group(kGroup);
  command->add_flag("--enlarge", flags->enlarge, "Small images become larger")->group(kGroup);
  command
      ->add_flag("--linear", flags->linear,
                 "Average light rather than samples: truer for fine bright detail, slower")
      ->group(kGroup);
  command
      ->add_option("--background", flags->background,
                   "Behind what is transparent, in a JPEG; default ffffff")
      ->type_name("RRGGBB")
      ->check([](const std::string& text) {
        uint32_t color = 0;
        return ParseColor(text, color) ? std::string()
                                       : "a colour is wanted, as in ffffff or #20a0ff";
      })
      ->group(kGroup);
  command
      ->add_flag("--equalize", flags->equalizes,
                 "Equalize first, and make the thumbnails of the result, which is kept too "
                 "(photo_EQUALIZED.jpg, photo_EQUALIZED.jpg_thumb.jpg)")
      ->group(kGroup);
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
