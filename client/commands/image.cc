#include "commands/job_text.h"
#include "commands/session.h"
#include "display/json.h"

namespace histeq::client {
namespace {

struct ImageFlags {
  std::string image;
};

ExitCode RunImage(Session& session, const ImageFlags& flags) {
  const absl::StatusOr<v1::Image> image = session.client.GetImage(flags.image, session.Control());
  if (!image.ok()) return session.Report(flags.image, image.status());
  session.display.OutText(session.json ? ToJson(*image) + "\n" : ImageText(*image));
  return kOk;
}

}  // namespace

void AddImageCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<ImageFlags>();
  CLI::App* command = app.add_subcommand("image", "Show one image");
  command->add_option("IMAGE", flags->image, "The image")->required();
  Choose(*command, chosen, flags, RunImage);
}

}  // namespace histeq::client
