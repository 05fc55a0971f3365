#include "commands/local_flags.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <thread>
#include <unordered_set>
#include <utility>

#include "api/byte_text.h"
#include "api/random_id.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/memory_budget.h"
#include "base/status_macros.h"
#include "commands/output_path.h"
#include "commands/stream_sink.h"
#include "display/error_text.h"
#include "display/json.h"
#include "fmt/format.h"
#include "local/batch.h"
#include "local/image_list.h"
#include "local/made_file.h"
#include "local/process_pool.h"
#include "local/thread_maker.h"
#include "rpc/program.h"

namespace histeq::client {
namespace {

std::string ScratchFolder(const LocalFlags& flags) {
  if (!flags.scratch_dir.empty()) return flags.scratch_dir;
  const char* folder = std::getenv("TMPDIR");
  return folder != nullptr && *folder != '\0' ? folder : "/var/tmp";
}

codec::DecodeLimits LimitsOf(const LocalFlags& flags) {
  codec::DecodeLimits limits;
  limits.max_pixels = flags.max_pixels;
  return limits;
}

// The makers of one command, and what they share.
class Makers {
 public:
  // At most `most` of them are of use.
  Makers(const Session& session, const LocalFlags& flags, size_t most)
      : budget_(static_cast<int64_t>(flags.image_budget_bytes)),
        executor_(flags.processes > 0 ? 1 : Threads(flags)) {
    const size_t wanted = flags.processes > 0 ? flags.processes : Threads(flags);
    const size_t count = std::clamp<size_t>(most, 1, wanted);
    if (flags.processes > 0) {
      WorkerProcessOptions options;
      options.program = session.worker_program;
      options.limits = LimitsOf(flags);
      options.scratch_dir = ScratchFolder(flags);
      options.memory_bytes = flags.worker_memory_bytes;
      options.image_timeout = absl::Seconds(flags.image_timeout_s);
      options.test_faults = flags.test_faults;
      processes_.emplace(count, executor_, options);
      makers_ = processes_->Makers();
      return;
    }
    for (size_t i = 0; i < count; ++i) {
      makers_.push_back(std::make_unique<ThreadMaker>(
          executor_, budget_,
          ThreadMakerOptions{.limits = LimitsOf(flags), .scratch_dir = ScratchFolder(flags)}));
    }
  }

  const std::vector<std::unique_ptr<ImageMaker>>& all() const { return makers_; }

 private:
  static uint32_t Threads(const LocalFlags& flags) {
    return flags.threads > 0 ? flags.threads : std::max(1u, std::thread::hardware_concurrency());
  }

  base::MemoryBudget budget_;
  engine::ThreadExecutor executor_;
  std::optional<ProcessPool> processes_;
  std::vector<std::unique_ptr<ImageMaker>> makers_;
};

std::string OutputsJson(const std::vector<OutputFacts>& outputs) {
  std::string text = "[";
  for (const OutputFacts& output : outputs) {
    text +=
        fmt::format("{}{{\"path\":{},\"size_bytes\":{},\"sha256\":{}}}", text.size() > 1 ? "," : "",
                    JsonString(output.path), output.size_bytes, JsonString(output.sha256));
  }
  return text + "]";
}

// What people and scripts are told about a batch.
class Narrator final : public BatchObserver {
 public:
  // `passed_to` is set when the result goes on to an output that is no file.
  Narrator(const Session& session, const std::vector<InputImage>& images, std::string passed_to)
      : session_(session), images_(images), passed_to_(std::move(passed_to)) {}

  void Begin(size_t image) override {
    std::lock_guard lock(mutex_);
    Running& running = running_[image];
    if (running.item != nullptr) return;
    running.item = session_.display.Begin(images_[image].path);
    running.began = base::SystemClock().Monotonic();
  }

  void Progress(size_t image, const v1::JobProgress& progress) override {
    // Of many images the stages of each would be noise.
    if (images_.size() > 1 && !session_.display.redraws()) return;
    if (Display::Item* const item = ItemOf(image)) item->Working(progress);
  }

  void Waiting(size_t image) override {
    std::lock_guard lock(mutex_);
    Running& running = running_[image];
    if (!std::exchange(running.waits, true)) {
      running.item->Notice("another command works on it; waiting");
    }
  }

  void End(size_t image, const ImageOutcome& outcome) override {
    Running running;
    {
      std::lock_guard lock(mutex_);
      const auto found = running_.find(image);
      if (found != running_.end()) {
        running = std::move(found->second);
        running_.erase(found);
      }
      Count(outcome);
    }
    const double seconds = absl::ToDoubleSeconds(base::SystemClock().Monotonic() - running.began);
    if (outcome.kind == ImageOutcome::Kind::kFailed) {
      if (!session_.token.cancelled()) Refused(images_[image].path, outcome.error);
      return;
    }
    const bool there = outcome.kind == ImageOutcome::Kind::kThere;
    uint64_t bytes = 0;
    for (const OutputFacts& output : outcome.outputs) bytes += output.size_bytes;
    std::string text =
        fmt::format("{} ({})", passed_to_.empty() ? outcome.outputs.front().path : passed_to_,
                    outcome.outputs.size() == 1
                        ? ByteText(bytes)
                        : fmt::format("{} files, {}", outcome.outputs.size(), ByteText(bytes)));
    if (running.item != nullptr) {
      running.item->Done(there ? "already there: " + text
                               : fmt::format("done in {:.1f} s: {}", seconds, text));
    }
    if (session_.json && passed_to_.empty()) {
      session_.display.OutText(
          fmt::format("{{\"input\":{},\"status\":\"{}\",\"outputs\":{},\"seconds\":{:.3f}}}\n",
                      JsonString(images_[image].path), there ? "already_there" : "done",
                      OutputsJson(outcome.outputs), seconds));
    }
  }

  // Of an input that was not even an image to work on, too.
  void Refused(const std::string& input, const absl::Status& error) {
    const auto detail = base::GetErrorDetail(error);
    session_.display.Error(fmt::format("{}: {}", input, ErrorText(error)));
    if (!session_.json) return;
    session_.display.OutText(fmt::format("{{\"input\":{},\"status\":\"failed\",\"error\":{}}}\n",
                                         JsonString(input), ToJson(error)));
  }

  void CountRefused(const absl::Status& error) {
    std::lock_guard lock(mutex_);
    Count({.kind = ImageOutcome::Kind::kFailed, .outputs = {}, .error = error});
  }

  size_t failed() const { return failed_; }

  // One line at the end of many.
  std::string Summary(absl::Duration took) const {
    std::string text = fmt::format("{} done", made_);
    if (there_ > 0) text += fmt::format(", {} already there", there_);
    if (failed_ > 0) {
      text += fmt::format(", {} failed (", failed_);
      bool first = true;
      for (const auto& [reason, count] : reasons_) {
        text += fmt::format("{}{} {}", first ? "" : ", ", count, reason);
        first = false;
      }
      text += ")";
    }
    const size_t left = images_.size() - std::min(images_.size(), made_ + there_ + failed_);
    if (left > 0) text += fmt::format(", {} left", left);
    const double seconds = absl::ToDoubleSeconds(took);
    text += fmt::format("; {:.1f} s", seconds);
    if (made_ > 0 && seconds > 0) {
      text += fmt::format(", {:.1f} images/s", static_cast<double>(made_) / seconds);
    }
    return text;
  }

 private:
  struct Running {
    std::unique_ptr<Display::Item> item;
    absl::Duration began;
    bool waits = false;
  };

  Display::Item* ItemOf(size_t image) {
    std::lock_guard lock(mutex_);
    const auto found = running_.find(image);
    return found == running_.end() ? nullptr : found->second.item.get();
  }

  void Count(const ImageOutcome& outcome) {
    switch (outcome.kind) {
      case ImageOutcome::Kind::kMade:
        ++made_;
        return;
      case ImageOutcome::Kind::kThere:
        ++there_;
        return;
      case ImageOutcome::Kind::kFailed:
        break;
    }
    // What was begun when the command was ended is left, not failed.
    if (session_.token.cancelled()) return;
    ++failed_;
    const auto detail = base::GetErrorDetail(outcome.error);
    ++reasons_[detail.has_value() && !detail->reason.empty()
                   ? detail->reason
                   : absl::StatusCodeToString(outcome.error.code())];
  }

  const Session& session_;
  const std::vector<InputImage>& images_;
  const std::string passed_to_;
  std::mutex mutex_;
  std::map<size_t, Running> running_;
  size_t made_ = 0;
  size_t there_ = 0;
  size_t failed_ = 0;
  std::map<std::string, size_t> reasons_;
};

absl::Status CopyToOut(const std::string& path, std::ostream& out) {
  StreamSink sink(out);
  std::ifstream file(path, std::ios::binary);
  std::vector<char> buffer(128 << 10);
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), file.gcount() > 0) {
    HISTEQ_RETURN_IF_ERROR(sink.Write(
        {reinterpret_cast<const uint8_t*>(buffer.data()), static_cast<size_t>(file.gcount())}));
  }
  return sink.Flush();
}

bool IsDevice(const std::string& path) {
  struct stat file;
  return stat(path.c_str(), &file) == 0 &&
         (S_ISCHR(file.st_mode) || S_ISFIFO(file.st_mode) || S_ISBLK(file.st_mode));
}

bool IsFolder(const std::string& path) {
  std::error_code error;
  return path.ends_with('/') || std::filesystem::is_directory(path, error);
}

absl::Status BadOutput(const std::string& message) {
  return base::MakeError(absl::StatusCode::kInvalidArgument, message, {.reason = "BAD_OUTPUT"});
}

// No two inputs may have one output: before anything is made.
absl::Status CheckDistinct(const ImageList& list, const BatchOptions& options) {
  std::unordered_set<size_t> seen;
  for (const InputImage& image : list.images) {
    // Where the formats differ, so do the names of the inputs.
    const absl::StatusOr<OutputPlan> plan =
        PlanOutputs(image, codec::ImageFormat::kJpeg, options.recipe, options.place);
    // Said when it is worked on.
    if (!plan.ok()) continue;
    const std::string path =
        std::filesystem::path(plan->outputs.front().path).lexically_normal().string();
    if (!seen.insert(std::hash<std::string>()(path)).second) {
      return BadOutput(fmt::format("two inputs would be written to {}", path));
    }
  }
  return absl::OkStatus();
}

// Removed with all that is in it.
class PrivateFolder {
 public:
  explicit PrivateFolder(const std::string& below) : path_(below + "/histeq-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~PrivateFolder() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove_all(path_, error);
  }
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

absl::Status NoScratch(const LocalFlags& flags) {
  return base::MakeError(absl::StatusCode::kFailedPrecondition,
                         ScratchFolder(flags) + " cannot be written: see --scratch-dir",
                         {.reason = "SCRATCH_FAILED"});
}

// The histogram of `path`, counted by this command, as Equalize takes it.
absl::StatusOr<v1::Histogram> ReferenceHistogramOf(const Session& session, const LocalFlags& flags,
                                                   const std::string& path) {
  const Makers makers(session, flags, 1);
  const PrivateFolder folder(ScratchFolder(flags));
  if (folder.path().empty()) return NoScratch(flags);
  HISTEQ_ASSIGN_OR_RETURN(const auto file, MadeFile::Create(folder.path() + "/none"));
  ImageWork work;
  std::error_code error;
  work.source_path = std::filesystem::absolute(path, error).string();
  work.result_path = file->path();
  work.operation.mutable_analyze();
  HISTEQ_ASSIGN_OR_RETURN(const FileResult result, makers.all().front()->Make(work, session.token));
  if (!result.statistics.has_value() || result.statistics->channels.empty()) {
    return base::MakeError(absl::StatusCode::kInternal, "the image has no statistics",
                           {.reason = "BAD_RESULT"});
  }
  // Gray, or luma: as the services take a reference.
  v1::Histogram histogram;
  const std::vector<uint64_t>& counts = result.statistics->channels.front().histogram;
  histogram.mutable_counts()->Assign(counts.begin(), counts.end());
  return histogram;
}

}  // namespace

void AddLocalFlags(CLI::App& command, LocalFlags& flags) {
  command.add_option("IN", flags.inputs, "Files, or folders of images")->type_name("");
  command
      .add_option("--jobs-from", flags.jobs_from,
                  "A file with one input a line; - for the standard input")
      ->type_name("FILE");
  command.add_flag("-r,--recursive", flags.recursive,
                   "Folders below the folders too; OUT gets the same folders");
  command.add_flag("--force,--refresh", flags.force,
                   "Make again what is there, and replace files that exist already");
  constexpr const char* kGroup = "Without a server";
  CLI::Option* const threads =
      command
          .add_option("--threads", flags.threads,
                      "Work in this command, on so many threads. Default without a server: one for "
                      "each processor")
          ->type_name("N")
          ->check(CLI::Range(1, 4096))
          ->group(kGroup);
  command
      .add_option("--processes", flags.processes,
                  "Work in so many processes: an image that crashes its process, hangs or takes "
                  "too much memory fails alone")
      ->type_name("N")
      ->check(CLI::Range(1, 1024))
      ->excludes(threads)
      ->group(kGroup);
  rpc::AddSizeOption(command, "--image-budget", flags.image_budget_bytes,
                     "Decoded samples in memory on threads; more go to temporary files")
      ->group(kGroup);
  rpc::AddSizeOption(command, "--worker-memory", flags.worker_memory_bytes,
                     "Private memory of each process")
      ->group(kGroup);
  command
      .add_option("--image-timeout-s", flags.image_timeout_s,
                  "An image that keeps its process for longer fails")
      ->capture_default_str()
      ->type_name("SECONDS")
      ->check(CLI::Range(1.0, 86400.0))
      ->group(kGroup);
  command.add_option("--max-pixels", flags.max_pixels, "Pixels of an image")
      ->capture_default_str()
      ->type_name("N")
      ->group(kGroup);
  command
      .add_option("--scratch-dir", flags.scratch_dir,
                  "Where temporary files go. Default: $TMPDIR, or /var/tmp")
      ->type_name("DIR")
      ->group(kGroup);
  // For tests: hidden.
  command.add_option("--test-worker-fault", flags.test_faults)->group("");
}

bool IsLocal(const Session& session, const LocalFlags& flags) {
  return flags.threads > 0 || flags.processes > 0 || !session.server_given;
}

absl::StatusOr<v1::Equalize> LocalEqualizeOf(const Session& session, const LocalFlags& flags,
                                             const OperationFlags& operation) {
  v1::Equalize equalize = EqualizeOf(operation);
  if (!operation.reference.empty()) {
    const auto item = session.display.Begin(operation.reference, /*counted=*/false);
    HISTEQ_ASSIGN_OR_RETURN(*equalize.mutable_reference_histogram(),
                            ReferenceHistogramOf(session, flags, operation.reference));
    item->Done("");
  }
  return equalize;
}

ExitCode RunLocally(const Session& session, const LocalFlags& flags, const Recipe& recipe) {
  const auto usage = [&](const absl::Status& status) {
    session.Report("", status);
    return kUsage;
  };
  ImageListOptions list_options;
  list_options.recursive = flags.recursive;
  list_options.jobs_from = flags.jobs_from;
  list_options.in = &std::cin;
  list_options.token = session.token;
  if (IsFolder(flags.out)) list_options.output_folder = flags.out;
  const ImageList list = ListImages(flags.inputs, list_options);

  const bool to_out = IsStandardOutput(flags.out);
  const bool to_device = !to_out && IsDevice(flags.out);
  std::error_code error;
  if (list.many) {
    if (to_out) return usage(BadOutput("-o - takes the result of one input alone"));
    if (!flags.out.empty() && std::filesystem::exists(flags.out, error) && !IsFolder(flags.out)) {
      return usage(BadOutput(fmt::format(
          "-o {}: a folder is wanted for several inputs, and this is a file", flags.out)));
    }
  }
  if (flags.keep_name && flags.out.empty()) {
    return usage(BadOutput("--keep-name needs a folder to write to: -o"));
  }
  if (!list.many && !flags.out.empty() && !list.images.empty() &&
      std::filesystem::equivalent(flags.out, list.images.front().path, error)) {
    return usage(
        BadOutput(fmt::format("{} would be replaced by its own result", list.images.front().path)));
  }

  BatchOptions options;
  options.recipe = recipe;
  options.anew = flags.force;
  options.place.keep_name = flags.keep_name;
  const size_t outputs = recipe.thumbnails.size() + (recipe.equalize.has_value() ? 1 : 0);
  std::optional<PrivateFolder> passing;
  if (to_out || to_device) {
    // A whole file first: what cannot be made must not leave half of it there.
    passing.emplace(ScratchFolder(flags));
    if (passing->path().empty()) return session.Report("", NoScratch(flags));
    options.place.path = passing->path() + "/result";
    options.place.is_file = true;
    options.registry = false;
  } else {
    options.place.path = flags.out;
    options.place.is_file =
        !list.many && !flags.out.empty() && !IsFolder(flags.out) && outputs == 1;
    options.registry = list.many || (!flags.out.empty() && !options.place.is_file);
  }

  if (const absl::Status distinct = CheckDistinct(list, options); !distinct.ok()) {
    return usage(distinct);
  }

  Narrator narrator(session, list.images, passing.has_value() ? flags.out : std::string());
  session.display.ExpectItems(list.images.size() + list.refused.size());
  for (const auto& [input, status] : list.refused) {
    const auto item = session.display.Begin(input);
    narrator.CountRefused(status);
    narrator.Refused(input, status);
  }
  const absl::Duration began = base::SystemClock().Monotonic();
  absl::Status ran;
  {
    const Makers makers(session, flags, list.images.size());
    ran = RunBatch(list.images, makers.all(), options, narrator, session.token);
  }
  if (passing.has_value() && narrator.failed() == 0 && ran.ok()) {
    absl::Status copied;
    if (to_out) {
      copied = CopyToOut(options.place.path, session.out);
    } else {
      std::ofstream device(flags.out, std::ios::binary);
      copied = CopyToOut(options.place.path, device);
    }
    if (!copied.ok()) return session.Report(flags.out, copied);
  }
  if (list.many) {
    session.display.Note(narrator.Summary(base::SystemClock().Monotonic() - began));
  }
  if (!ran.ok() && !session.token.cancelled()) return session.Report("", ran);
  return narrator.failed() == 0 && ran.ok() ? kOk : kFailed;
}

}  // namespace histeq::client
