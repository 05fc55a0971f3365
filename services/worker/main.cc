// histeq-worker: maps and encodes segments for coordinators.

#include <cstdio>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "grpc_worker.h"
#include "histeq/target.h"
#include "rpc/advertised_address.h"
#include "rpc/event_log.h"
#include "rpc/program.h"
#include "rpc/server.h"

namespace histeq::worker {
namespace {

int Main(int argc, char** argv) {
  rpc::TuneAllocator();
  rpc::Program program("histeq-worker",
                       "Maps and encodes segments of images for the coordinators that it announces "
                       "itself to. Keeps nothing: it may be started and stopped at any time.",
                       0);
  CLI::App& app = program.app();
  WorkerOptions options;
  std::vector<std::string> coordinators;
  std::vector<std::string> storage_roots;
  std::string advertise;
  double stall_timeout_s = 30;
  double resolve_interval_s = 30;
  double segment_delay_ms = 0;
  app.add_option("--coordinators", coordinators,
                 "Coordinators to work for, comma-separated: host:port, or a name with several "
                 "addresses (each is a coordinator), or unix:path")
      ->delimiter(',')
      ->type_name("ADDR,...")
      ->required();
  app.add_option("--threads", options.threads,
                 "Threads that work on segments (0: one for each processor)")
      ->capture_default_str()
      ->type_name("N")
      ->check(CLI::Range(0, 4096));
  app.add_option("--slots", options.slots,
                 "Segments in hand at once, being received, worked on or sent (0: as --threads)")
      ->capture_default_str()
      ->type_name("N")
      ->check(CLI::Range(0, 65536));
  rpc::AddSizeOption(app, "--memory-budget", options.memory_bytes,
                     "Memory for the segments in hand; what does not fit is refused");
  rpc::AddSizeOption(app, "--mapping-cache", options.mapping_cache_bytes,
                     "Memory for mappings that coordinators have sent");
  app.add_option("--advertise", advertise,
                 "Address under which coordinators call this worker (default: the one it listens "
                 "on; without a port, the port it listens on)")
      ->type_name("ADDR");
  app.add_option(
         "--storage-root", storage_roots,
         "Folder whose files this worker has, under a name; repeatable. Images registered at "
         "node://NAME/... are done here, or read from here")
      ->type_name("NAME=PATH")
      ->default_str("none");
  app.add_option("--max-file-reads", options.max_file_reads,
                 "Files of its storage that coordinators read at once")
      ->capture_default_str()
      ->type_name("N")
      ->check(CLI::Range(1, 4096));
  app.add_option("--stall-timeout-s", stall_timeout_s,
                 "A call on which no message comes or goes for so long is ended")
      ->capture_default_str()
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 86400.0));
  app.add_option("--resolve-interval-s", resolve_interval_s,
                 "How often the names of coordinators are looked up again")
      ->capture_default_str()
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 86400.0));
  app.add_option("--max-coordinators", options.max_coordinators,
                 "Addresses of coordinators that it announces itself to")
      ->capture_default_str()
      ->type_name("N")
      ->check(CLI::Range(1, 4096));
  app.add_option("--test-segment-delay-ms", segment_delay_ms,
                 "For tests: wait so long before the work on each segment")
      ->capture_default_str()
      ->type_name("MS")
      ->check(CLI::Range(0.0, 3.6e6));
  if (const auto exit_code = program.Parse(argc, argv)) return *exit_code;

  for (const std::string& text : coordinators) {
    auto entry = ParseCoordinator(text);
    if (!entry.ok()) {
      std::fprintf(stderr, "histeq-worker: --coordinators: %s\n",
                   std::string(entry.status().message()).c_str());
      return 2;
    }
    options.coordinators.push_back(*std::move(entry));
  }
  auto storage = store::StorageRoots::Open(storage_roots);
  if (!storage.ok()) {
    std::fprintf(stderr, "histeq-worker: --storage-root: %s\n",
                 std::string(storage.status().message()).c_str());
    return 2;
  }
  options.storage = *std::move(storage);
  options.name = program.flags().name;
  options.version = rpc::Version();
  options.stall_timeout = absl::Seconds(stall_timeout_s);
  options.resolve_interval = absl::Seconds(resolve_interval_s);
  options.segment_delay = absl::Milliseconds(segment_delay_ms);

  Worker worker(std::move(options));
  rpc::ServerOptions server_options = program.flags().server_options();
  server_options.services = {worker.service()};
  auto server = rpc::Server::Start(server_options);
  if (!server.ok()) {
    std::fprintf(stderr, "histeq-worker: %s\n", std::string(server.status().message()).c_str());
    return 1;
  }
  const std::string address = rpc::AdvertisedAddress(advertise, program.flags().listen,
                                                     (*server)->local_address(), (*server)->port());
  rpc::LogEvent(rpc::LogLevel::kInfo, "started",
                {{"address", (*server)->local_address()},
                 {"advertised", address},
                 {"threads", fmt::format("{}", worker.threads())},
                 {"slots", fmt::format("{}", worker.slots())},
                 {"simd", histeq::ActiveTargetName()},
                 {"version", rpc::Version()}});
  worker.Start(address);

  const int signal = program.WaitForSignal();
  rpc::LogEvent(rpc::LogLevel::kInfo, "stopping", {{"signal", fmt::format("{}", signal)}});
  (*server)->SetServing(false);
  worker.Drain(program.flags().drain_timeout());
  (*server)->Shutdown(absl::Seconds(1));
  rpc::LogEvent(rpc::LogLevel::kInfo, "stopped", {});
  return 0;
}

}  // namespace
}  // namespace histeq::worker

int main(int argc, char** argv) { return histeq::worker::Main(argc, argv); }
