#include "api/byte_text.h"
#include "commands/image_argument.h"
#include "commands/session.h"
#include "display/json.h"
#include "display/printable.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

struct UploadFlags {
  std::vector<std::string> files;
  size_t parallel = 4;
};

ExitCode RunUpload(Session& session, const UploadFlags& flags) {
  OrderedOutput output(session.display, flags.files.size());
  session.display.ExpectItems(flags.files.size());
  return RunParallel(session, flags.files.size(), flags.parallel, [&](size_t i) {
    const std::string& file = flags.files[i];
    const auto item = session.display.Begin(file);
    const absl::StatusOr<v1::UploadImageResponse> response =
        UploadPath(session, file, nullptr, *item);
    if (!response.ok()) {
      output.Set(i, "");
      return session.Report(file, response.status(), "input");
    }
    const v1::Image& image = response->image();
    item->Done(fmt::format("uploaded, {}, {}x{}", ByteText(image.size_bytes()), image.width(),
                           image.height()));
    output.Set(i, session.json ? fmt::format("{{\"input\":{},\"image\":{}}}\n", JsonString(file),
                                             ToJson(image))
                               : Printable(image.id()) + "\n");
    return kOk;
  });
}

}  // namespace

void AddUploadCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<UploadFlags>();
  CLI::App* command = app.add_subcommand("upload", "Upload files; prints the ids of the images");
  command->add_option("FILE", flags->files, "Files to upload")->required();
  command->add_option("--parallel", flags->parallel, "Files sent at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 256))
      ->envname("HISTEQ_PARALLEL")
      ->type_name("N");
  command->footer(
      "\nOne id a line, in the order of the files.\n\nExample:\n  id=$(histeq upload photo.jpg "
      "--quiet) && histeq submit $id --strength 0.5");
  Choose(*command, chosen, flags, RunUpload);
}

}  // namespace histeq::client
