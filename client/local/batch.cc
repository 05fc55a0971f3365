#include "local/batch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <deque>
#include <filesystem>
#include <latch>
#include <mutex>
#include <system_error>
#include <thread>
#include <unordered_set>
#include <utility>

#include "api/local_file.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "local/finisher.h"
#include "local/made_file.h"
#include "local/registry_cache.h"
#include "local/registry_place.h"

namespace histeq::client {
namespace {

// Images that are made, and wait for the disk: a journal takes the files of many in one go. Each
// has a descriptor for each of its outputs.
constexpr size_t kFinishing = 16;
constexpr size_t kWaitingToFinish = 8;

absl::Duration Now() { return base::SystemClock().Monotonic(); }

struct SourceFacts {
  std::string absolute_path;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
};

absl::StatusOr<SourceFacts> FactsOf(const std::string& path) {
  // Says what is wrong with it.
  HISTEQ_RETURN_IF_ERROR(LocalFile::Open(path).status());
  struct stat file = {};
  stat(path.c_str(), &file);
  std::error_code error;
  SourceFacts facts;
  // Whatever way leads to it.
  facts.absolute_path = std::filesystem::canonical(path, error).string();
  if (error) {
    return base::MakeError(absl::StatusCode::kNotFound, "no such file",
                           {.reason = "FILE_NOT_FOUND"});
  }
  facts.size = static_cast<uint64_t>(file.st_size);
  facts.mtime_ns = file.st_mtim.tv_sec * 1'000'000'000 + file.st_mtim.tv_nsec;
  return facts;
}

absl::Status Exists(const std::string& path) {
  return base::MakeError(absl::StatusCode::kAlreadyExists,
                         path + " exists already; --force replaces it",
                         {.reason = "OUTPUT_EXISTS"});
}

absl::Status NotWritable(const std::string& path, int error) {
  return base::MakeError(
      absl::StatusCode::kFailedPrecondition,
      path + " cannot be written: " + std::error_code(error, std::generic_category()).message(),
      {.reason = "OUTPUT_NOT_WRITABLE"});
}

absl::Status NoThreads(const std::system_error& error) {
  return base::MakeError(absl::StatusCode::kResourceExhausted,
                         std::string("no thread can be started: ") + error.what(),
                         {.reason = "NO_THREADS"});
}

// The name of a file is on the disk once its folder is.
void SyncFolder(const std::string& folder) {
  const int descriptor =
      open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  fsync(descriptor);
  close(descriptor);
}

// With its slash; "" for a name alone.
std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

size_t PathHash(const std::string& path) {
  return std::hash<std::string>()(std::filesystem::path(path).lexically_normal().string());
}

// One call of RunBatch.
class Batch {
 public:
  Batch(const std::vector<InputImage>& images, const BatchOptions& options, BatchObserver& observer,
        const base::CancelToken& token)
      : images_(images),
        options_(options),
        observer_(observer),
        stop_(token),
        registries_(options.lease),
        places_(registries_) {
    if (!options_.anew) return;
    for (const InputImage& image : images_) read_.insert(PathHash(image.path));
  }

  absl::Status Run(const std::vector<std::unique_ptr<ImageMaker>>& makers) {
    {
      Finisher finisher(kFinishing, kWaitingToFinish);
      std::vector<std::thread> threads;
      // A worker process dies with the thread that started it, and others may use it still.
      std::latch all_through(static_cast<std::ptrdiff_t>(makers.size()));
      absl::Status no_threads;
      for (const auto& maker : makers) {
        try {
          threads.emplace_back([this, &maker, &finisher, &all_through] {
            Work(*maker, finisher);
            all_through.arrive_and_wait();
          });
        } catch (const std::system_error& error) {
          no_threads = NoThreads(error);
          break;
        }
      }
      // Those that began do it alone.
      all_through.count_down(static_cast<std::ptrdiff_t>(makers.size() - threads.size()));
      for (std::thread& thread : threads) thread.join();
      if (threads.empty()) return no_threads;
    }
    for (const std::string& folder : written_folders_) SyncFolder(folder);
    return stop_.token().Check();
  }

 private:
  struct Deferred {
    size_t image = 0;
    // When it may be looked at again.
    absl::Duration due;
  };

  // The next image: a new one, else one that another run had. Nothing at the end.
  std::optional<Deferred> Next(bool& again) {
    std::lock_guard lock(mutex_);
    again = false;
    if (next_ < images_.size()) return Deferred{.image = next_++, .due = absl::ZeroDuration()};
    if (deferred_.empty()) return std::nullopt;
    again = true;
    const Deferred image = deferred_.front();
    deferred_.pop_front();
    return image;
  }

  // How far one look at an image came.
  struct Step {
    // Another run works on it.
    bool busy = false;
    // Made, but for its end, which waits for the disk; empty: `outcome` is all.
    std::function<absl::StatusOr<ImageOutcome>()> finish;
    ImageOutcome outcome;
  };

  void Work(ImageMaker& maker, Finisher& finisher) {
    bool again = false;
    while (!stop_.token().cancelled()) {
      const std::optional<Deferred> next = Next(again);
      if (!next.has_value()) return;
      const size_t image = next->image;
      if (again && !stop_.token().WaitFor(next->due - Now()).ok()) {
        End(image, stop_.token().Check());
        return;
      }
      observer_.Begin(image);
      absl::StatusOr<Step> step = Try(image, maker, again);
      if (!step.ok()) {
        End(image, step.status());
      } else if (step->busy) {
        observer_.Waiting(image);
        std::lock_guard lock(mutex_);
        deferred_.push_back({.image = image, .due = Now() + options_.busy_interval});
      } else if (step->finish) {
        finisher.Submit([this, image, finish = std::move(step->finish)] { End(image, finish()); });
      } else {
        End(image, std::move(step->outcome));
      }
    }
  }

  void End(size_t image, absl::StatusOr<ImageOutcome> outcome) {
    if (!outcome.ok()) {
      const std::string reason = base::ReasonOf(outcome.status());
      if (reason == "WORKER_NOT_STARTED" || reason == "SERVER_UNREACHABLE") {
        stop_.Cancel(outcome.status());
      }
      ImageOutcome failed;
      failed.error = outcome.status();
      outcome = std::move(failed);
    }
    observer_.End(image, *outcome);
  }

  absl::StatusOr<Step> Try(size_t image, ImageMaker& maker, bool again) {
    HISTEQ_ASSIGN_OR_RETURN(const SourceFacts source, FactsOf(images_[image].path));
    const codec::ImageFormat format = FormatByFirstBytes(images_[image].path);
    HISTEQ_ASSIGN_OR_RETURN(OutputPlan plan,
                            PlanOutputs(images_[image], format, options_.recipe, options_.place));
    if (!again) HISTEQ_RETURN_IF_ERROR(Take(plan));
    if (!options_.registry) return TryAlone(image, source, plan, maker);
    const RegistryPlace place =
        places_.Find(plan.registry_folder, FolderOf(plan.outputs.front().path));
    HISTEQ_ASSIGN_OR_RETURN(const std::shared_ptr<store::ClaimRegistry> registry,
                            registries_.Get(place.folder));
    if (again) HISTEQ_RETURN_IF_ERROR(registry->Sweep().status());
    std::vector<store::WantedOutput> wanted;
    for (const PlannedOutput& output : plan.outputs) {
      wanted.push_back({.path = place.NameOf(output.path),
                        .key = OutputKey(source.absolute_path, source.size, source.mtime_ns,
                                         InKey(output.operation))});
    }
    HISTEQ_ASSIGN_OR_RETURN(const std::vector<store::ClaimedOutput> claimed,
                            registry->Claim(wanted, options_.anew));
    Step step;
    std::vector<PlannedOutput> missing;
    std::vector<std::string> names;
    std::vector<std::string> temporaries;
    absl::Status status;
    for (size_t i = 0; i < claimed.size(); ++i) {
      switch (claimed[i].standing) {
        case store::OutputStanding::kBusy:
          step.busy = true;
          return step;
        case store::OutputStanding::kOccupied:
          status = Exists(plan.outputs[i].path);
          break;
        case store::OutputStanding::kMine:
          missing.push_back(plan.outputs[i]);
          names.push_back(wanted[i].path);
          temporaries.push_back(claimed[i].temporary);
          break;
        case store::OutputStanding::kThere:
          break;
      }
    }
    if (status.ok() && missing.empty()) {
      HISTEQ_ASSIGN_OR_RETURN(step.outcome, Recorded(*registry, plan, wanted));
      step.outcome.kind = ImageOutcome::Kind::kThere;
      return step;
    }
    absl::StatusOr<Made> made = absl::UnknownError("not made");
    if (status.ok()) {
      made = Make(
          image, source, missing, [&](size_t i) { return MadeFile::Create(temporaries[i]); },
          maker);
      status = made.status();
    }
    if (!status.ok()) {
      registry->GiveUp(names).IgnoreError();
      return status;
    }
    step.finish = [this, registry, source, plan = std::move(plan), wanted = std::move(wanted),
                   missing = std::move(missing), names = std::move(names),
                   made = *std::move(made)]() -> absl::StatusOr<ImageOutcome> {
      const absl::Status finished = [&]() -> absl::Status {
        HISTEQ_ASSIGN_OR_RETURN(const std::vector<MadeFile::Facts> facts,
                                Sync(source, *made.files));
        std::vector<store::FinishedOutput> outputs;
        for (size_t i = 0; i < facts.size(); ++i) {
          outputs.push_back(
              {.path = names[i], .size_bytes = facts[i].size_bytes, .sha256 = facts[i].sha256});
        }
        return registry->Finish(outputs);
      }();
      if (!finished.ok()) {
        registry->GiveUp(names).IgnoreError();
        // Taken for dead, it was overtaken; then all is there.
        if (base::ReasonOf(finished) == "CLAIM_LOST" && AllThere(*registry, wanted)) {
          HISTEQ_ASSIGN_OR_RETURN(ImageOutcome outcome, Recorded(*registry, plan, wanted));
          outcome.kind = ImageOutcome::Kind::kThere;
          return outcome;
        }
        return finished;
      }
      Wrote(missing);
      HISTEQ_ASSIGN_OR_RETURN(ImageOutcome outcome, Recorded(*registry, plan, wanted));
      outcome.job = made.job;
      for (size_t i = 0; i < made.image_ids.size(); ++i) {
        for (OutputFacts& output : outcome.outputs) {
          if (output.path == missing[i].path) output.image_id = made.image_ids[i];
        }
      }
      return outcome;
    };
    return step;
  }

  static bool AllThere(store::ClaimRegistry& registry,
                       const std::vector<store::WantedOutput>& wanted) {
    const auto claimed = registry.Claim(wanted, /*anew=*/false);
    if (!claimed.ok()) return false;
    std::vector<std::string> mine;
    for (size_t i = 0; i < wanted.size(); ++i) {
      if ((*claimed)[i].standing == store::OutputStanding::kMine) mine.push_back(wanted[i].path);
    }
    if (!mine.empty()) registry.GiveUp(mine).IgnoreError();
    return std::all_of(claimed->begin(), claimed->end(), [](const store::ClaimedOutput& output) {
      return output.standing == store::OutputStanding::kThere;
    });
  }

  // All outputs of an image that are there, as made.
  static absl::StatusOr<ImageOutcome> Recorded(store::ClaimRegistry& registry,
                                               const OutputPlan& plan,
                                               const std::vector<store::WantedOutput>& wanted) {
    ImageOutcome outcome;
    outcome.kind = ImageOutcome::Kind::kMade;
    for (size_t i = 0; i < wanted.size(); ++i) {
      HISTEQ_ASSIGN_OR_RETURN(const auto record, registry.Find(wanted[i].path));
      outcome.outputs.push_back({.path = plan.outputs[i].path,
                                 .size_bytes = record.has_value() ? record->size_bytes : 0,
                                 .sha256 = record.has_value() ? store::ToHex(record->sha256) : "",
                                 .image_id = ""});
    }
    return outcome;
  }

  // Without a registry: a file that is there is somebody's.
  absl::StatusOr<Step> TryAlone(size_t image, const SourceFacts& source, const OutputPlan& plan,
                                ImageMaker& maker) {
    for (const PlannedOutput& output : plan.outputs) {
      struct stat file;
      if (options_.take || lstat(output.path.c_str(), &file) != 0) continue;
      if (S_ISDIR(file.st_mode)) return NotWritable(output.path, EISDIR);
      if (!options_.anew) return Exists(output.path);
    }
    const auto create = [&](size_t i) {
      const std::string& path = plan.outputs[i].path;
      const std::string folder = FolderOf(path);
      std::error_code ignored;
      if (!folder.empty()) std::filesystem::create_directories(folder, ignored);
      return MadeFile::CreateIn(folder, path);
    };
    HISTEQ_ASSIGN_OR_RETURN(const Made made, Make(image, source, plan.outputs, create, maker));
    Step step;
    step.outcome.kind = ImageOutcome::Kind::kMade;
    step.outcome.job = made.job;
    HISTEQ_ASSIGN_OR_RETURN(const std::vector<MadeFile::Facts> facts, Sync(source, *made.files));
    for (size_t i = 0; i < facts.size(); ++i) {
      const std::string& path = plan.outputs[i].path;
      MadeFile& file = *(*made.files)[i];
      HISTEQ_RETURN_IF_ERROR(options_.take ? options_.take(file)
                                           : file.GiveName(path, options_.anew));
      step.outcome.outputs.push_back({.path = path,
                                      .size_bytes = facts[i].size_bytes,
                                      .sha256 = store::ToHex(facts[i].sha256),
                                      .image_id = made.image_ids.empty() ? "" : made.image_ids[i]});
    }
    if (!options_.take) Wrote(plan.outputs);
    return step;
  }

  // An output belongs to one image of the batch.
  absl::Status Take(const OutputPlan& plan) {
    std::lock_guard lock(mutex_);
    for (const PlannedOutput& output : plan.outputs) {
      const size_t path = PathHash(output.path);
      if (read_.count(path) != 0) {
        return base::MakeError(absl::StatusCode::kInvalidArgument,
                               "its result would replace " + output.path +
                                   ", which is an input too: leave one of them out",
                               {.reason = "BAD_OUTPUT"});
      }
      if (!taken_.insert(path).second) {
        return base::MakeError(absl::StatusCode::kInvalidArgument,
                               "another input has the same output, " + output.path +
                                   ": give each of them a folder of its own",
                               {.reason = "BAD_OUTPUT"});
      }
    }
    return absl::OkStatus();
  }

  // An operation as it stands in keys.
  v1::Operation InKey(v1::Operation operation) const {
    if (options_.reference_key.empty()) return operation;
    v1::Equalize* const equalize = operation.has_equalize() ? operation.mutable_equalize()
                                   : operation.has_derive() && operation.derive().has_equalize()
                                       ? operation.mutable_derive()->mutable_equalize()
                                       : nullptr;
    if (equalize != nullptr) equalize->set_reference_image_id(options_.reference_key);
    return operation;
  }

  // An image's outputs, without their names.
  struct Made {
    // In the order of the outputs that were to be made.
    std::shared_ptr<std::vector<std::unique_ptr<MadeFile>>> files;
    // As the files; without services empty.
    std::vector<std::string> image_ids;
    std::optional<v1::Job> job;
  };

  using CreateFile = std::function<absl::StatusOr<std::unique_ptr<MadeFile>>(size_t output)>;

  absl::StatusOr<Made> Make(size_t image, const SourceFacts& source,
                            const std::vector<PlannedOutput>& outputs, const CreateFile& create,
                            ImageMaker& maker) {
    Made made;
    made.files = std::make_shared<std::vector<std::unique_ptr<MadeFile>>>(outputs.size());
    std::vector<std::unique_ptr<MadeFile>>& files = *made.files;
    HISTEQ_ASSIGN_OR_RETURN(files[0], create(0));
    std::vector<int> results;
    ImageWork work;
    work.name = images_[image].name();
    work.source_path = source.absolute_path;
    work.result = files[0]->descriptor();
    work.operation = CombinedOperation(options_.recipe, outputs, results);
    for (const int output : results) work.wanted.push_back(output >= 0);
    work.output_path = outputs[0].path;
    work.reports = observer_.ReportsOf(image);
    HISTEQ_ASSIGN_OR_RETURN(FileResult result, maker.Make(work, stop_.token()));
    HISTEQ_RETURN_IF_ERROR(Split(result, results, create, files));
    made.job = std::move(result.job);
    if (result.image_ids.size() == results.size()) {
      made.image_ids.resize(outputs.size());
      for (size_t i = 0; i < results.size(); ++i) {
        if (results[i] < 0) continue;
        made.image_ids[static_cast<size_t>(results[i])] = result.image_ids[i];
      }
    }
    return made;
  }

  // Until they are on the disk.
  static absl::StatusOr<std::vector<MadeFile::Facts>> Sync(
      const SourceFacts& source, const std::vector<std::unique_ptr<MadeFile>>& files) {
    if (const auto now = FactsOf(source.absolute_path);
        !now.ok() || now->size != source.size || now->mtime_ns != source.mtime_ns) {
      return base::MakeError(absl::StatusCode::kAborted,
                             "the file changed while it was worked on; start again",
                             {.reason = "FILE_CHANGED"});
    }
    std::vector<MadeFile::Facts> facts;
    for (const auto& file : files) {
      HISTEQ_ASSIGN_OR_RETURN(const MadeFile::Facts of_file, file->Sync());
      facts.push_back(of_file);
    }
    return facts;
  }

  void Wrote(const std::vector<PlannedOutput>& outputs) {
    std::lock_guard lock(mutex_);
    for (const PlannedOutput& output : outputs) written_folders_.insert(FolderOf(output.path));
  }

  // The first file holds all results one after the other; each goes to a file of its own.
  absl::Status Split(const FileResult& result, const std::vector<int>& results,
                     const CreateFile& create, std::vector<std::unique_ptr<MadeFile>>& files) {
    if (result.result_bytes.size() != results.size()) {
      return base::MakeError(absl::StatusCode::kInternal,
                             "the image's work gave another number of results than was asked for",
                             {.reason = "BAD_RESULT"});
    }
    uint64_t offset = 0;
    uint64_t first_offset = 0;
    uint64_t first_size = 0;
    for (size_t i = 0; i < results.size(); ++i) {
      const uint64_t size = result.result_bytes[i];
      if (results[i] == 0) {
        first_offset = offset;
        first_size = size;
      } else if (results[i] > 0) {
        const auto output = static_cast<size_t>(results[i]);
        HISTEQ_ASSIGN_OR_RETURN(files[output], create(output));
        HISTEQ_RETURN_IF_ERROR(files[output]->CopyFrom(*files[0], offset, size));
      }
      offset += size;
    }
    return results.size() == 1 ? absl::OkStatus() : files[0]->KeepRange(first_offset, first_size);
  }

  const std::vector<InputImage>& images_;
  const BatchOptions& options_;
  BatchObserver& observer_;
  const base::CancelSource stop_;
  RegistryCache registries_;
  RegistryPlaces places_;
  std::mutex mutex_;
  size_t next_ = 0;
  std::deque<Deferred> deferred_;
  // Hashes of all outputs' paths and, where outputs replace what is there, of all inputs'.
  std::unordered_set<size_t> taken_;
  std::unordered_set<size_t> read_;
  std::unordered_set<std::string> written_folders_;
};

}  // namespace

absl::Status RunBatch(const std::vector<InputImage>& images,
                      const std::vector<std::unique_ptr<ImageMaker>>& makers,
                      const BatchOptions& options, BatchObserver& observer,
                      const base::CancelToken& token) {
  return Batch(images, options, observer, token).Run(makers);
}

}  // namespace histeq::client
