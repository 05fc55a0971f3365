#include "absl/time/clock.h"
#include "commands/session.h"
#include "display/json.h"
#include "display/printable.h"
#include "display/table.h"
#include "fmt/format.h"
#include "rpc/proto_convert.h"

namespace histeq::client {
namespace {

struct NodesFlags {};

std::string Ago(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0 && time.nanos() == 0) return "never";
  const absl::Duration ago = absl::Now() - rpc::FromProto(time);
  return fmt::format("{} s ago", std::max<int64_t>(0, absl::ToInt64Seconds(ago)));
}

// The names of its storage roots.
template <typename Node>
std::string Stores(const Node& node) {
  std::string text;
  for (const std::string& storage : node.storages()) text += ", " + Printable(storage);
  return text.empty() ? text : text.substr(2);
}

std::string Condition(const v1::CoordinatorInfo& coordinator) {
  if (!coordinator.alive()) return "gone";
  return coordinator.draining() ? "draining" : "alive";
}

ExitCode RunNodes(Session& session, const NodesFlags&) {
  const absl::StatusOr<v1::ListNodesResponse> nodes = session.client.ListNodes(session.Control());
  if (!nodes.ok()) return session.Report("", nodes.status());
  if (session.json) {
    session.display.OutText(ToJson(*nodes) + "\n");
    return kOk;
  }
  Table table({"NODE", "ADDRESS", "STATE", "LOAD", "SEEN", "DONE", "TARGET", "VERSION", "STORAGE"});
  for (const auto& coordinator : nodes->coordinators()) {
    table.AddRow({Printable(coordinator.name()), Printable(coordinator.address()),
                  Condition(coordinator) + (coordinator.registered() ? ", registered" : ""),
                  fmt::format("{}/{} jobs", coordinator.jobs_running(), coordinator.job_slots()),
                  Ago(coordinator.last_heartbeat_time()), "", Printable(coordinator.simd_target()),
                  Printable(coordinator.version()), Stores(coordinator)});
    for (const auto& worker : coordinator.workers()) {
      table.AddRow({"  " + Printable(worker.name()), Printable(worker.address()),
                    worker.draining() ? "draining" : "alive",
                    fmt::format("{}/{} slots",
                                worker.slots() - std::min(worker.slots(), worker.free_slots()),
                                worker.slots()),
                    Ago(worker.last_heartbeat_time()),
                    fmt::format("{} segments", worker.segments_done()),
                    Printable(worker.simd_target()), Printable(worker.version()), Stores(worker)});
    }
  }
  session.display.OutText(table.Text());
  if (nodes->workers_omitted() > 0) {
    session.display.Out(fmt::format("{} more workers: the list is too long for one answer",
                                    nodes->workers_omitted()));
  }
  session.display.Out(
      fmt::format("{} jobs queued, {} running", nodes->jobs_queued(), nodes->jobs_running()));
  return kOk;
}

}  // namespace

void AddNodesCommand(CLI::App& app, Action& chosen) {
  CLI::App* command =
      app.add_subcommand("nodes", "Show coordinators, their workers and their load");
  Choose(*command, chosen, std::make_shared<NodesFlags>(), RunNodes);
}

}  // namespace histeq::client
