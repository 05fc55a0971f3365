#include "api/download.h"

#include "commands/output_path.h"
#include "commands/output_target.h"
#include "commands/session.h"
#include "display/json.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

struct DownloadFlags {
  std::string image;
  std::string out;
  bool force = false;
  uint64_t offset = 0;
  uint64_t limit = 0;
};

ExitCode RunDownload(Session& session, const DownloadFlags& flags) {
  const auto item = session.display.Begin(flags.image);
  session.display.ExpectItems(1);
  OutputTarget target(
      [&](const v1::Image& image) {
        return IsStandardOutput(flags.out) ? flags.out : ImagePath(image, flags.out);
      },
      flags.force, session.out);
  DownloadOptions options;
  options.offset = flags.offset;
  options.limit = flags.limit;
  options.received = [&](uint64_t received, uint64_t size) { item->Downloading(received, size); };
  const absl::StatusOr<v1::Image> image =
      DownloadImage(session.client, flags.image, options, target.Opener(), session.Control(*item));
  if (!image.ok()) return session.Report(flags.image, image.status());
  if (const absl::Status status = target.Commit(); !status.ok()) {
    return session.Report(flags.image, status);
  }
  item->Done(IsStandardOutput(flags.out) ? "" : target.path());
  if (session.json && !IsStandardOutput(flags.out)) {
    session.display.OutText(
        fmt::format("{{\"output\":{},\"image\":{}}}\n", JsonString(target.path()), ToJson(*image)));
  }
  return kOk;
}

}  // namespace

void AddDownloadCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<DownloadFlags>();
  CLI::App* command =
      app.add_subcommand("download", "Fetch the bytes of an image, or some of them");
  command->add_option("IMAGE", flags->image, "The image")->required();
  command
      ->add_option(
          "-o,--output", flags->out,
          "A file, a folder, or - for the standard output. Default: the image's name, here")
      ->type_name("OUT");
  command->add_flag("--force", flags->force, "Replace a file that exists already");
  command->add_option("--offset", flags->offset, "First byte wanted")->capture_default_str();
  command->add_option("--limit", flags->limit, "Bytes wanted; 0: all to the end")
      ->capture_default_str();
  command->footer(
      "\nExamples:\n  histeq download IMAGE -o copy.jpg\n"
      "  histeq download IMAGE -o - --limit 32 | xxd");
  Choose(*command, chosen, flags, RunDownload);
}

}  // namespace histeq::client
