#include "api/byte_text.h"
#include "base/hex.h"
#include "commands/job_text.h"
#include "commands/session.h"
#include "display/json.h"
#include "display/names.h"
#include "display/printable.h"
#include "fmt/format.h"
#include "rpc/proto_convert.h"

namespace histeq::client {
namespace {

using Response = v1::GetImageResponse;

struct QueryFlags {
  std::vector<std::string> images;
};

std::string StatusName(Response::State state) {
  switch (state) {
    case Response::STATE_QUEUED:
      return "queued";
    case Response::STATE_RUNNING:
      return "running";
    case Response::STATE_DONE:
      return "done";
    case Response::STATE_FAILED:
      return "failed";
    default:
      return "registered";
  }
}

// Members of a JSON object about a file; what is not known yet is left out.
std::string FileJson(const v1::Image& image) {
  std::string json = fmt::format("\"location\":{},\"name\":{}", JsonString(image.location()),
                                 JsonString(image.name()));
  if (!image.unread()) {
    json += fmt::format(",\"size\":{},\"format\":{},\"width\":{},\"height\":{},\"sha256\":{}",
                        image.size_bytes(), JsonString(FormatName(image.format())), image.width(),
                        image.height(), JsonString(base::ToHex(image.sha256())));
  }
  if (image.has_expire_time()) {
    json += fmt::format(
        ",\"expires\":{}",
        JsonString(absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", rpc::FromProto(image.expire_time()),
                                    absl::UTCTimeZone())));
  }
  return json;
}

std::string ErrorJson(const v1::JobError& error) {
  return fmt::format(",\"error\":{{\"reason\":{},\"message\":{}}}", JsonString(error.reason()),
                     JsonString(error.message()));
}

std::string WaitingJson(const std::string& waiting_for) {
  return waiting_for.empty() ? "" : ",\"waiting_for\":" + JsonString(waiting_for);
}

std::string QueryJson(const Response& response) {
  std::string json = fmt::format(
      "{{\"id\":{},\"status\":{},\"original\":{{{}}}", JsonString(response.image().id()),
      JsonString(StatusName(response.state())), FileJson(response.image()));
  if (response.has_error()) json += ErrorJson(response.error());
  json += WaitingJson(response.waiting_for());
  if (response.more_derivatives()) json += ",\"more_derivatives\":true";
  json += ",\"derivatives\":[";
  for (int i = 0; i < response.derivatives_size(); ++i) {
    const Response::Derivative& derivative = response.derivatives(i);
    if (i > 0) json += ',';
    json += fmt::format("{{\"operation\":{},\"parameters\":{},\"status\":{},\"job\":{}",
                        JsonString(OperationText(derivative.operation())),
                        ToJson(derivative.operation()), JsonString(StatusName(derivative.state())),
                        JsonString(derivative.job_id()));
    if (derivative.has_image()) {
      json += fmt::format(",\"id\":{},", JsonString(derivative.image().id()));
      json += FileJson(derivative.image());
    }
    if (derivative.has_error()) json += ErrorJson(derivative.error());
    json += WaitingJson(derivative.waiting_for());
    json += '}';
  }
  return json + "]}";
}

std::string ErrorLine(const std::string& indent, const v1::JobError& error) {
  return fmt::format("{}error        {} {}\n", indent, Printable(error.reason()),
                     Printable(error.message()));
}

std::string WaitingLine(const std::string& indent, const std::string& waiting_for) {
  if (waiting_for.empty()) return "";
  return fmt::format("{}waits for    {}\n", indent, Printable(waiting_for));
}

std::string QueryText(const Response& response) {
  std::string text = fmt::format("{:<12} {}\n", "status", StatusName(response.state()));
  text += WaitingLine("", response.waiting_for());
  if (response.has_error()) text += ErrorLine("", response.error());
  text += ImageText(response.image());
  for (const Response::Derivative& derivative : response.derivatives()) {
    text += fmt::format("\n{}: {}\n", Printable(OperationText(derivative.operation())),
                        StatusName(derivative.state()));
    text += WaitingLine("  ", derivative.waiting_for());
    if (derivative.has_error()) text += ErrorLine("  ", derivative.error());
    if (!derivative.has_image()) {
      text += fmt::format("  job          {}\n", Printable(derivative.job_id()));
      continue;
    }
    const v1::Image& image = derivative.image();
    text += fmt::format("  image        {} ({})\n", Printable(image.id()), Printable(image.name()));
    text += fmt::format("  format       {}, {}x{}, {} bytes ({})\n", FormatName(image.format()),
                        image.width(), image.height(), image.size_bytes(),
                        ByteText(image.size_bytes()));
    text += fmt::format("  sha256       {}\n  location     {}\n", base::ToHex(image.sha256()),
                        Printable(image.location()));
  }
  if (response.more_derivatives()) text += "\nThere are more.\n";
  return text;
}

ExitCode RunQuery(Session& session, const QueryFlags& flags) {
  ExitCode worst = kOk;
  bool first = true;
  for (const std::string& id : flags.images) {
    const absl::StatusOr<Response> response = session.client.QueryImage(id, session.Control());
    worst = Worse(worst, session.Report(id, response.status()));
    if (!response.ok()) continue;
    session.display.OutText(session.json ? QueryJson(*response) + "\n"
                                         : (first ? "" : "\n") + QueryText(*response));
    first = false;
  }
  return worst;
}

}  // namespace

void AddQueryCommand(CLI::App& app, Action& chosen) {
  const auto flags = std::make_shared<QueryFlags>();
  CLI::App* command = app.add_subcommand(
      "query", "Show where images stand: their state and all that is made of them");
  command->add_option("IMAGE", flags->images, "Ids of images")->required();
  command->footer(
      "\nStates: registered (nothing is asked for), queued, running, done, failed. With --json one "
      "object a line:\n"
      "  {\"id\": …, \"status\": \"done\", \"original\": {\"location\": …, \"sha256\": …}, "
      "\"derivatives\": [{…}]}\n"
      "\"operation\" is for people; \"parameters\" is the operation with all that tells it from "
      "others.");
  Choose(*command, chosen, flags, RunQuery);
}

}  // namespace histeq::client
