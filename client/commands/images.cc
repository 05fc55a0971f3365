#include "api/byte_text.h"
#include "commands/session.h"
#include "display/json.h"
#include "display/names.h"
#include "display/printable.h"
#include "display/table.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

struct ImagesFlags {
  std::string name;
  uint64_t limit = 100;
};

ExitCode RunImages(Session& session, const ImagesFlags& flags) {
  v1::ListImagesRequest filter;
  filter.set_name(flags.name);
  Table table({"IMAGE", "FORMAT", "PIXELS", "SIZE", "CREATED", "NAME"});
  const absl::Status status = session.client.ListImages(
      filter, flags.limit,
      [&](const v1::Image& image) {
        if (session.json) {
          session.display.OutText(ToJson(image) + "\n");
        } else {
          table.AddRow({Printable(image.id()),
                        image.unread() ? "unread" : FormatName(image.format()),
                        image.unread() ? "" : fmt::format("{}x{}", image.width(), image.height()),
                        ByteText(image.size_bytes()), TimeText(image.create_time()),
                        Printable(image.name())});
        }
        return absl::OkStatus();
      },
      session.Control());
  session.display.OutText(table.Text());
  return session.Report("", status);
}

}  // namespace

void AddImagesCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<ImagesFlags>();
  CLI::App* command = app.add_subcommand("images", "List images, newest first");
  command->add_option("--name", flags->name, "Only images of exactly this name");
  command->add_option("--limit", flags->limit, "At most this many; 0: all")->capture_default_str();
  Choose(*command, chosen, flags, RunImages);
}

}  // namespace histeq::client
