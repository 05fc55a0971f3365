#include "base/status_macros.h"
#include "commands/image_argument.h"
#include "commands/output_file.h"
#include "commands/session.h"
#include "display/histogram_plot.h"
#include "display/histogram_text.h"
#include "display/json.h"
#include "display/printable.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

struct HistogramFlags {
  std::vector<std::string> images;
  std::string out;
  bool force = false;
  bool logarithmic = false;
  size_t parallel = 4;
};

struct Counted {
  v1::Image image;
  v1::ImageStatistics statistics;
};

absl::StatusOr<Counted> Count(const Session& session, const std::string& argument,
                              Display::Item& item) {
  HISTEQ_ASSIGN_OR_RETURN(const std::string id, ImageIdOf(session, argument, item));
  Counted counted;
  const CallControl control = session.Control(item);
  HISTEQ_ASSIGN_OR_RETURN(counted.image, session.client.GetImage(id, control));
  HISTEQ_ASSIGN_OR_RETURN(counted.statistics, session.client.GetHistogram(id, control));
  return counted;
}

std::string Text(const Session& session, const HistogramFlags& flags, const Counted& counted) {
  if (session.json) {
    return fmt::format("{{\"image\":{},\"statistics\":{}}}\n", ToJson(counted.image),
                       ToJson(counted.statistics));
  }
  std::string text =
      fmt::format("{}  ({}, {}x{})\n", Printable(counted.image.name()),
                  Printable(counted.image.id()), counted.image.width(), counted.image.height());
  if (counted.statistics.channels_size() > 0) {
    HistogramTextOptions options;
    options.columns = std::min<size_t>(64, session.display.columns() - 1);
    options.utf8 = session.display.utf8();
    options.logarithmic = flags.logarithmic;
    text += HistogramText(counted.statistics.channels(0).histogram(), options);
  }
  return text + StatisticsText(counted.statistics) + "\n";
}

absl::Status WritePlot(const HistogramFlags& flags, const std::vector<Counted>& counted) {
  std::vector<PlotPanel> panels;
  for (const Counted& one : counted) {
    panels.push_back({Printable(one.image.name()), one.statistics});
  }
  HISTEQ_ASSIGN_OR_RETURN(const std::string png, EncodePng(DrawPlot(panels, flags.logarithmic)));
  HISTEQ_ASSIGN_OR_RETURN(const auto file, OutputFile::Create(flags.out, flags.force));
  HISTEQ_RETURN_IF_ERROR(file->Write({reinterpret_cast<const uint8_t*>(png.data()), png.size()}));
  return file->Commit();
}

ExitCode RunHistogram(Session& session, const HistogramFlags& flags) {
  if (!flags.out.empty()) {
    const absl::Status status = CheckOutput(flags.out, flags.force);
    if (!status.ok()) return session.Report("", status);
  }
  std::vector<Counted> counted(flags.images.size());
  OrderedOutput output(session.display, flags.images.size());
  session.display.ExpectItems(flags.images.size());
  const ExitCode code = RunParallel(session, flags.images.size(), flags.parallel, [&](size_t i) {
    const auto item = session.display.Begin(flags.images[i]);
    absl::StatusOr<Counted> one = Count(session, flags.images[i], *item);
    if (!one.ok()) {
      output.Set(i, "");
      return session.Report(flags.images[i], one.status(), "input");
    }
    counted[i] = *std::move(one);
    item->Done("");
    output.Set(i, Text(session, flags, counted[i]));
    return kOk;
  });
  if (flags.out.empty() || code != kOk) return code;
  const absl::Status status = WritePlot(flags, counted);
  if (status.ok()) session.display.Note("drawn: " + flags.out);
  return session.Report("", status);
}

}  // namespace

void AddHistogramCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<HistogramFlags>();
  CLI::App* command =
      app.add_subcommand("histogram", "Show the histograms and statistics of images");
  command->add_option("IMAGE", flags->images, "Ids of stored images, or files, which are uploaded")
      ->required();
  command
      ->add_option("-o,--output", flags->out,
                   "Draw them into this PNG file too, side by side at one scale")
      ->type_name("PLOT");
  command->add_flag("--force", flags->force, "Replace a file that exists already");
  command->add_flag("--log", flags->logarithmic, "Logarithmic heights");
  command->add_option("--parallel", flags->parallel, "Images worked on at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 256))
      ->envname("HISTEQ_PARALLEL")
      ->type_name("N");
  command->footer("\nExample:\n  histeq histogram photo.jpg photo_EQUALIZED.jpg -o plot.png");
  Choose(*command, chosen, flags, RunHistogram);
}

}  // namespace histeq::client
