#include "commands/program.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "commands/session.h"
#include "display/error_text.h"
#include "fmt/format.h"
#include "rpc/flag_sources.h"
#include "rpc/program.h"

namespace histeq::client {
namespace {

struct GlobalFlags {
  std::string server = "127.0.0.1:7070";
  double timeout_s = 60;
  bool json = false;
  bool quiet = false;
};

constexpr char kFooter[] =
    "\nExamples:\n"
    "  histeq equalize photo.jpg                           writes photo_EQUALIZED.jpg\n"
    "  histeq equalize scans/ -r -o out/ --method clahe    a tree of folders\n"
    "  histeq thumbnail photos/ --size 256 -o thumbs/      photo.jpg_thumb.jpg and so on\n"
    "  export HISTEQ_SERVER=images.example.org:7070        from here on the services work\n"
    "  histeq equalize photo.jpg\n"
    "  histeq watch $(histeq submit IMAGE --quiet) -o result.jpg\n"
    "  histeq histogram photo.jpg photo_EQUALIZED.jpg -o plot.png\n"
    "  histeq jobs --state failed --json\n"
    "\nProgress goes to the standard error output: one line that is redrawn on a terminal, plain "
    "lines elsewhere,\nnothing with --quiet. NO_COLOR turns colours off. A connection that breaks "
    "is "
    "made again, and uploads and\ndownloads go on where they stopped.\n"
    "\nEvery flag may also be set by an environment variable, or in the file that --config names: "
    "--server by\nHISTEQ_SERVER, equalize's --method by HISTEQ_EQUALIZE_METHOD, or by a line "
    "`method = \"clahe\"` in the\nfile's section [equalize]. The command line wins over the "
    "environment, that over the file.\n"
    "\nExit codes:\n"
    "  0  all done\n"
    "  1  something failed: the lines that begin with \"histeq:\" say what\n"
    "  2  the command line is wrong\n"
    "  3  the server could not be reached within --timeout\n"
    "  128 + N  ended by signal N (130: Ctrl-C)\n"
    "\n'histeq COMMAND --help' tells more about a command.";

void AddGlobalFlags(CLI::App& app, GlobalFlags& flags) {
  app.add_option("--server", flags.server,
                 "The frontend: host:port or unix:path. Without it equalize and thumbnail "
                 "work in the command")
      ->capture_default_str()
      ->envname("HISTEQ_SERVER")
      ->type_name("ADDR");
  app.add_option("--timeout", flags.timeout_s,
                 "Seconds to keep trying while the server gives no sign of life")
      ->capture_default_str()
      ->check([](const std::string& text) {
        double seconds = 0;
        return absl::SimpleAtod(text, &seconds) && seconds >= 0.001 && seconds <= 1e7
                   ? std::string()
                   : "a number of seconds is wanted, 0.001 to 10000000";
      })
      ->envname("HISTEQ_TIMEOUT")
      ->type_name("SECONDS");
  app.add_flag("--json", flags.json,
               "Results as protobuf's JSON form, one object a line, on the standard output")
      ->envname("HISTEQ_JSON");
  app.add_flag("--quiet,-q", flags.quiet, "No progress; results and errors alone")
      ->envname("HISTEQ_QUIET");
}

}  // namespace

int RunProgram(std::vector<std::string> arguments, const Surroundings& surroundings) {
  CLI::App app(
      "Equalizes pictures and makes thumbnails, here or with the services of histeq, and shows "
      "what "
      "they hold.",
      "histeq");
  GlobalFlags flags;
  Action action;
  app.set_version_flag("--version", std::string("histeq ") + rpc::Version());
  app.require_subcommand(1);
  // Global flags may stand behind the command too.
  app.fallthrough();
  app.get_formatter()->column_width(30);
  AddGlobalFlags(app, flags);
  AddEqualizeCommand(app, action);
  AddThumbnailCommand(app, action);
  AddUploadCommand(app, action);
  AddRegisterCommand(app, action);
  AddSubmitCommand(app, action);
  AddWatchCommand(app, action);
  AddDownloadCommand(app, action);
  AddHistogramCommand(app, action);
  AddJobsCommand(app, action);
  AddJobCommand(app, action);
  AddCancelCommand(app, action);
  AddQueryCommand(app, action);
  AddImagesCommand(app, action);
  AddImageCommand(app, action);
  AddDeleteCommand(app, action);
  AddNodesCommand(app, action);
  AddCoordinatorCommand(app, action);
  AddSampleCommand(app, action);
  rpc::ReadFlagsFromElsewhere(app, "histeq");
  app.footer(kFooter);

  rpc::AddConfigFromEnvironment("histeq", arguments);
  // CLI11 takes them from the back.
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    return app.exit(error, surroundings.out, surroundings.err) == 0 ? kOk : kUsage;
  }

  ClientOptions options;
  options.server = flags.server;
  options.give_up_after = absl::Seconds(flags.timeout_s);
  const auto client = Client::Create(std::move(options));
  if (!client.ok()) {
    surroundings.err << "histeq: --server: " << ErrorText(client.status()) << "\n";
    return kUsage;
  }
  Display display({.out = &surroundings.out,
                   .err = &surroundings.err,
                   .redraw = surroundings.redraw,
                   .quiet = flags.quiet,
                   .color = surroundings.color,
                   .utf8 = surroundings.utf8,
                   .columns = surroundings.columns});
  Session session{.client = **client,
                  .display = display,
                  .out = surroundings.out,
                  .json = flags.json,
                  .token = surroundings.token,
                  .server_given = app.get_option("--server")->count() > 0,
                  .worker_program = surroundings.worker_program};
  return action(session);
}

}  // namespace histeq::client
