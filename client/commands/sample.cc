#include <atomic>
#include <cstring>
#include <filesystem>

#include "api/byte_text.h"
#include "base/error.h"
#include "base/memory_source.h"
#include "base/status_macros.h"
#include "commands/output_file.h"
#include "commands/session.h"
#include "display/json.h"
#include "engine/run_job.h"
#include "engine/thread_executor.h"
#include "fmt/format.h"
#include "local/sample_photos.h"

namespace histeq::client {
namespace {

struct SampleFlags {
  std::string folder;
  uint32_t nodes = 1;
  uint32_t count = 12;
  bool force = false;
};

// One picture: a photograph, cut and scaled.
struct Sample {
  std::string path;
  std::span<const uint8_t> photo;
  engine::ThumbnailParameters picture;
};

// Pictures `number` of `node`, from 0: the same ones every time.
Sample SampleOf(const std::string& folder, uint32_t node, uint32_t number) {
  struct Size {
    uint32_t width, height;
  };
  // Landscape, square and upright, from a snapshot to some ten megapixels.
  constexpr Size kSizes[] = {{640, 480},   {1200, 800},  {512, 512},   {800, 1200},
                             {1920, 1080}, {333, 777},   {2400, 1600}, {1024, 1024},
                             {1600, 900},  {3648, 2736}, {1000, 563},  {720, 960}};
  constexpr uint32_t kQualities[] = {85, 75, 92, 60};
  const uint32_t index = (node - 1) * 7 + number;
  const auto photos = SamplePhotos();
  Sample sample;
  sample.photo = photos[index % photos.size()];
  const Size& size = kSizes[index % std::size(kSizes)];
  sample.picture.width = size.width;
  sample.picture.height = size.height;
  sample.picture.fit = engine::ThumbnailParameters::Fit::kCover;
  sample.picture.enlarge = true;
  sample.picture.quality = kQualities[index % std::size(kQualities)];
  const bool png = number % 4 == 3;
  sample.picture.format = png ? codec::ImageFormat::kPng : codec::ImageFormat::kJpeg;
  sample.path =
      fmt::format("{}/node{}/img_{}.{}", folder, node, node * 100 + number, png ? "png" : "jpg");
  return sample;
}

absl::StatusOr<uint64_t> Write(const Session& session, const Sample& sample, bool force,
                               engine::ThreadExecutor& executor) {
  HISTEQ_ASSIGN_OR_RETURN(const auto file, OutputFile::Create(sample.path, force));
  base::MemorySource source(sample.photo);
  engine::Operation operation;
  operation.kind = engine::Operation::Kind::kThumbnail;
  operation.thumbnails = {sample.picture};
  engine::JobOptions options;
  options.token = session.token;
  HISTEQ_ASSIGN_OR_RETURN(const engine::JobResult result,
                          engine::RunJob(source, *file, operation, executor, options));
  HISTEQ_RETURN_IF_ERROR(file->Commit());
  return result.result_bytes.empty() ? 0 : result.result_bytes.front();
}

ExitCode RunSample(Session& session, const SampleFlags& flags) {
  for (uint32_t node = 1; node <= flags.nodes; ++node) {
    std::error_code error;
    const std::string folder = fmt::format("{}/node{}", flags.folder, node);
    std::filesystem::create_directories(folder, error);
    if (error) {
      return session.Report(folder, base::MakeError(absl::StatusCode::kFailedPrecondition,
                                                    "the folder cannot be made: " + error.message(),
                                                    {.reason = "OUTPUT_NOT_WRITABLE"}));
    }
  }
  const size_t total = size_t{flags.nodes} * flags.count;
  session.display.ExpectItems(total);
  const uint32_t threads = std::max(1u, std::thread::hardware_concurrency());
  engine::ThreadExecutor executor(threads);
  std::atomic<uint64_t> bytes = 0;
  std::atomic<size_t> made = 0;
  const ExitCode code = RunParallel(session, total, threads, [&](size_t i) {
    const Sample sample = SampleOf(flags.folder, static_cast<uint32_t>(i / flags.count) + 1,
                                   static_cast<uint32_t>(i % flags.count));
    const auto item = session.display.Begin(sample.path);
    const absl::StatusOr<uint64_t> written = Write(session, sample, flags.force, executor);
    if (!written.ok()) {
      if (written.status().code() != absl::StatusCode::kAlreadyExists) {
        return session.Report(sample.path, written.status(), "output");
      }
      item->Done("");
      return kOk;
    }
    bytes += *written;
    ++made;
    item->Done("");
    if (session.json) {
      session.display.OutText(
          fmt::format("{{\"output\":{},\"size_bytes\":{}}}\n", JsonString(sample.path), *written));
    }
    return kOk;
  });
  session.display.Note(fmt::format("{} picture{} ({}) in {}{}", made.load(), made == 1 ? "" : "s",
                                   ByteText(bytes), flags.folder,
                                   made < total ? ", the others were there" : ""));
  return code;
}

}  // namespace

void AddSampleCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<SampleFlags>();
  CLI::App* command = app.add_subcommand(
      "sample", "Make folders of sample pictures to try things with: DIR/node1, DIR/node2, ...");
  command->add_option("DIR", flags->folder, "Where they go")->required();
  command->add_option("--nodes", flags->nodes, "Folders")
      ->capture_default_str()
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  command->add_option("--count", flags->count, "Pictures in each")
      ->capture_default_str()
      ->type_name("K")
      ->check(CLI::Range(1, 100000));
  command->add_flag("--force", flags->force, "Replace pictures that are there");
  command->footer(
      "\nReal photographs, which are part of the program, cut and scaled to many sizes; JPEG and "
      "PNG. The same\npictures every time.\n\nExample:\n  histeq sample --nodes 2 samples/");
  Choose(*command, chosen, flags, RunSample);
}

}  // namespace histeq::client
