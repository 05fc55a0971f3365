#include <filesystem>

#include "api/watch.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "commands/session.h"
#include "commands/thumbnail_flags.h"
#include "display/json.h"
#include "display/names.h"
#include "display/printable.h"
#include "store/location.h"

namespace histeq::client {
namespace {

struct RegisterFlags {
  std::string id;
  std::string location;
  std::vector<std::string> process;
  bool wait = false;
};

constexpr const char* kThumbnail = "thumbnail:";

// "equalize", "thumbnail:256", "thumbnail:320x240"; empty: it is one.
std::string CheckProcess(const std::string& text) {
  if (text == "equalize") return {};
  const std::string size =
      text.starts_with(kThumbnail) ? text.substr(std::string(kThumbnail).size()) : std::string();
  if (IsThumbnailSize(size)) return {};
  return "equalize or thumbnail:SIZE is wanted, as in thumbnail:256 or thumbnail:320x240";
}

v1::Operation OperationOf(const std::vector<std::string>& process) {
  ThumbnailOptions options;
  bool equalizes = false;
  for (const std::string& text : process) {
    if (text == "equalize") {
      equalizes = true;
    } else {
      options.sizes.push_back(text.substr(std::string(kThumbnail).size()));
    }
  }
  const std::vector<v1::Thumbnail> thumbnails = ThumbnailsOf(options);
  v1::Operation operation;
  if (thumbnails.empty()) {
    operation.mutable_equalize();
  } else if (thumbnails.size() == 1 && !equalizes) {
    *operation.mutable_thumbnail() = thumbnails.front();
  } else {
    v1::Derive& derive = *operation.mutable_derive();
    if (equalizes) derive.mutable_equalize();
    for (const v1::Thumbnail& thumbnail : thumbnails) *derive.add_thumbnails() = thumbnail;
  }
  return operation;
}

// A path of this machine becomes the location under which the frontend may have the same file.
absl::StatusOr<std::string> LocationOf(const std::string& text) {
  if (text.find("://") != std::string::npos) return text;
  std::error_code error;
  const std::filesystem::path path = std::filesystem::absolute(text, error).lexically_normal();
  if (error || text.empty()) {
    return base::MakeError(absl::StatusCode::kInvalidArgument,
                           "the location is neither file:///PATH nor node://NAME/PATH nor a path",
                           {.reason = "BAD_LOCATION", .field = "location"});
  }
  store::Location location;
  location.kind = store::Location::Kind::kFile;
  location.path = path.string();
  return store::FormatLocation(location);
}

ExitCode RunRegister(Session& session, const RegisterFlags& flags) {
  const absl::StatusOr<std::string> location = LocationOf(flags.location);
  if (!location.ok()) return session.Report(flags.id, location.status());
  session.display.ExpectItems(1);
  const auto item = session.display.Begin(flags.id);
  const CallControl control = session.Control(*item);
  v1::RegisterImageRequest request;
  request.set_id(flags.id);
  request.set_location(*location);
  if (!flags.process.empty()) *request.mutable_operation() = OperationOf(flags.process);
  absl::StatusOr<v1::RegisterImageResponse> response =
      session.client.RegisterImage(request, control);
  if (!response.ok()) return session.Report(flags.id, response.status());
  v1::Job& job = *response->mutable_job();
  if (!session.json) session.display.OutText(Printable(job.id()) + "\n");
  absl::Status status;
  if (flags.wait) {
    WatchOptions options;
    options.job = [&](const v1::Job& changed) { item->Job(changed); };
    options.progress = [&](const v1::JobProgress& progress) { item->Working(progress); };
    absl::StatusOr<Watched> watched = WatchJob(session.client, job.id(), options, control);
    if (watched.ok()) job = std::move(watched->job);
    status = watched.ok() ? JobFailure(job) : watched.status();
  }
  if (session.json) session.display.OutText(ToJson(*response) + "\n");
  if (!status.ok()) return session.Report(job.id(), status);
  item->Done(flags.wait ? "" : StateName(job.state()));
  return kOk;
}

}  // namespace

void AddRegisterCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<RegisterFlags>();
  CLI::App* command = app.add_subcommand(
      "register", "Make a file that lies where the services read it known as an image");
  command->add_option("ID", flags->id, "The image's id: letters, digits and ._-")->required();
  command
      ->add_option("LOCATION", flags->location,
                   "file:///PATH below a --file-root of the frontend (or just the path), or "
                   "node://NAME/PATH in the --storage-root NAME of a coordinator or worker")
      ->required();
  command
      ->add_option(
          "--process", flags->process,
          "What to make of it at once: equalize, thumbnail:SIZE (of the equalized image when both "
          "are asked for); repeatable")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("OPERATION")
      ->check(CheckProcess);
  command->add_flag("--wait", flags->wait, "Follow the job to its end; exit code 1 when it fails");
  command->footer(
      "\nPrints the id of the job that makes what --process says, else of the one that reads the "
      "file.\nWith equalize the thumbnails are made of the equalized image. The file stays where "
      "it is. Registered again it is read again when it has changed.\n"
      "\nExamples:\n"
      "  histeq register img_100 file:///pictures/a/100.jpg --process thumbnail:256\n"
      "  histeq register scan-7 node://disk1/scans/7.png --process equalize --wait\n"
      "  histeq query img_100");
  Choose(*command, chosen, flags, RunRegister);
}

}  // namespace histeq::client
