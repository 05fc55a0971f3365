// histeq-coordinator: takes jobs from the frontend and has their segments done.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "grpc_coordinator.h"
#include "histeq/target.h"
#include "rpc/advertised_address.h"
#include "rpc/event_log.h"
#include "rpc/program.h"
#include "rpc/server.h"

namespace histeq::coordinator {
namespace {

// Whether files can be made in the folder; otherwise why not.
std::string FindScratchProblem(const std::string& folder) {
  std::string name = folder + "/histeq-XXXXXX";
  const int file = mkstemp(name.data());
  if (file < 0) {
    return fmt::format("--scratch-dir {}: no file can be made there: {}", folder,
                       std::strerror(errno));
  }
  unlink(name.c_str());
  close(file);
  return {};
}

int Main(int argc, char** argv) {
  rpc::TuneAllocator();
  rpc::Program program(
      "histeq-coordinator",
      "Takes jobs from the frontend's queue: reads the image, counts, and has its segments mapped "
      "and encoded by the workers that announce themselves here, or by its own threads when there "
      "are none.",
      0);
  CLI::App& app = program.app();
  CoordinatorOptions options;
  JobRunnerOptions& jobs = options.jobs;
  codec::DecodeLimits& limits = jobs.decode_limits;
  std::string advertise;
  std::vector<std::string> storage_roots;
  double lease_wait_s = absl::ToDoubleSeconds(options.lease_wait);
  double stall_timeout_s = absl::ToDoubleSeconds(options.stall_timeout);
  double commit_timeout_s = absl::ToDoubleSeconds(options.commit_timeout);
  double worker_timeout_s = absl::ToDoubleSeconds(options.worker_gone_after);
  double worker_stall_timeout_s = absl::ToDoubleSeconds(options.worker_stall_timeout);
  const auto number = [&app](const std::string& name, uint32_t& value, uint32_t least,
                             uint32_t most, const std::string& description) {
    app.add_option(name, value, description)
        ->capture_default_str()
        ->type_name("N")
        ->check(CLI::Range(least, most));
  };
  const auto seconds = [&app](const std::string& name, double& value,
                              const std::string& description) {
    app.add_option(name, value, description)
        ->capture_default_str()
        ->type_name("SECONDS")
        ->check(CLI::Range(0.1, 86400.0));
  };
  app.add_option("--frontend", options.frontend, "Address of the frontend")
      ->type_name("ADDR")
      ->required();
  app.add_option("--advertise", advertise,
                 "Address under which workers and people reach this coordinator (default: the one "
                 "it listens on; without a port, the port it listens on)")
      ->type_name("ADDR");
  number("--jobs", options.job_slots, 1, 1024, "Jobs at the same time");
  number("--threads", options.threads, 0, 4096,
         "Threads for segments while there is no worker (0: one for each processor)");
  rpc::AddSizeOption(app, "--image-budget", jobs.image_budget_bytes,
                     "Memory for decoded samples and results of all jobs; what does not fit waits "
                     "in files of --scratch-dir");
  app.add_option("--scratch-dir", jobs.scratch_dir, "Folder for temporary, unlinked files")
      ->capture_default_str()
      ->type_name("DIR");
  app.add_option("--max-pixels", limits.max_pixels, "Largest image, in width x height")
      ->capture_default_str()
      ->type_name("N");
  number("--max-dimension", limits.max_dimension, 1, 1u << 30, "Largest width and height");
  number("--max-jpeg-scans", limits.max_jpeg_scans, 1, 1u << 20, "Scans of a progressive JPEG");
  rpc::AddSizeOption(app, "--max-metadata", limits.max_metadata_bytes,
                     "Metadata of an image that is carried over");
  rpc::AddSizeOption(app, "--max-registered-size", options.max_registered_bytes,
                     "Largest file in a storage root, here or at a worker");
  rpc::AddSizeOption(app, "--read-ahead", jobs.read_ahead_bytes,
                     "Bytes of each source that are fetched before the decoder wants them");
  rpc::AddSizeOption(app, "--small-image", jobs.small_image_bytes,
                     "Files up to this size are given to a worker whole");
  app.add_option(
         "--storage-root", storage_roots,
         "Folder whose files this coordinator has, under a name; repeatable. Jobs on images "
         "registered at node://NAME/... come to those who have NAME")
      ->type_name("NAME=PATH")
      ->default_str("none");
  number("--segment-window", options.segment_window, 1, 4096,
         "Segments of a job that are on workers, or finished before their turn");
  number("--max-workers", options.max_workers, 1, 256, "Workers attached at the same time");
  seconds("--worker-timeout-s", worker_timeout_s,
          "A worker that is silent for so long counts as gone");
  seconds("--worker-stall-timeout-s", worker_stall_timeout_s,
          "A segment on which nothing moves for so long goes to another worker");
  seconds("--lease-wait-s", lease_wait_s, "How long one call waits in the frontend's queue");
  seconds("--stall-timeout-s", stall_timeout_s,
          "A call to the frontend on which nothing moves for so long is made again");
  seconds("--commit-timeout-s", commit_timeout_s,
          "How long the frontend may take to make a result durable");
  if (const auto exit_code = program.Parse(argc, argv)) return *exit_code;

  if (const std::string problem = FindScratchProblem(jobs.scratch_dir); !problem.empty()) {
    std::fprintf(stderr, "histeq-coordinator: %s\n", problem.c_str());
    return 1;
  }
  auto storage = store::StorageRoots::Open(storage_roots);
  if (!storage.ok()) {
    std::fprintf(stderr, "histeq-coordinator: --storage-root: %s\n",
                 std::string(storage.status().message()).c_str());
    return 2;
  }
  options.storage = *std::move(storage);
  options.name = program.flags().name;
  options.version = rpc::Version();
  options.lease_wait = absl::Seconds(lease_wait_s);
  options.stall_timeout = absl::Seconds(stall_timeout_s);
  options.commit_timeout = absl::Seconds(commit_timeout_s);
  options.worker_gone_after = absl::Seconds(worker_timeout_s);
  options.worker_interval = std::min(options.worker_interval, options.worker_gone_after / 4);
  options.worker_stall_timeout = absl::Seconds(worker_stall_timeout_s);

  const std::string frontend = options.frontend;
  const uint32_t job_slots = options.job_slots;
  Coordinator coordinator(std::move(options));
  rpc::ServerOptions server_options = program.flags().server_options();
  server_options.services = {coordinator.service()};
  auto server = rpc::Server::Start(server_options);
  if (!server.ok()) {
    std::fprintf(stderr, "histeq-coordinator: %s\n",
                 std::string(server.status().message()).c_str());
    return 1;
  }
  const std::string address = rpc::AdvertisedAddress(advertise, program.flags().listen,
                                                     (*server)->local_address(), (*server)->port());
  rpc::LogEvent(rpc::LogLevel::kInfo, "started",
                {{"address", (*server)->local_address()},
                 {"advertised", address},
                 {"frontend", frontend},
                 {"jobs", fmt::format("{}", job_slots)},
                 {"simd", histeq::ActiveTargetName()},
                 {"version", rpc::Version()}});
  coordinator.Start(address);

  const int signal = program.WaitForSignal();
  rpc::LogEvent(rpc::LogLevel::kInfo, "stopping", {{"signal", fmt::format("{}", signal)}});
  (*server)->SetServing(false);
  coordinator.Drain(program.flags().drain_timeout());
  (*server)->Shutdown(absl::Seconds(1));
  rpc::LogEvent(rpc::LogLevel::kInfo, "stopped", {});
  return 0;
}

}  // namespace
}  // namespace histeq::coordinator

int main(int argc, char** argv) { return histeq::coordinator::Main(argc, argv); }
