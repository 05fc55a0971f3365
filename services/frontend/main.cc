// histeq-frontend: stores images, keeps the queue of jobs, answers clients and coordinators.

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "grpc_frontend.h"
#include "rpc/event_log.h"
#include "rpc/program.h"
#include "rpc/server.h"

namespace histeq::frontend {
namespace {

constexpr int kDefaultPort = 7070;

// NAME=ADDRESS; false when there is no "=".
bool ParseCoordinator(const std::string& text, store::CoordinatorRecord& coordinator) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) return false;
  coordinator = {text.substr(0, equals), text.substr(equals + 1)};
  return true;
}

int Main(int argc, char** argv) {
  rpc::TuneAllocator();
  rpc::Program program(
      "histeq-frontend",
      "Stores the images that clients send, keeps the queue of jobs, and tells whoever asks or "
      "waits. Everything that must not be lost is in its data folder.",
      kDefaultPort);
  CLI::App& app = program.app();
  FrontendOptions options;
  std::vector<std::string> coordinators;
  double lease_ttl_s = absl::ToDoubleSeconds(options.catalog.lease_ttl);
  double heartbeat_interval_s = absl::ToDoubleSeconds(options.heartbeat_interval);
  double coordinator_timeout_s = absl::ToDoubleSeconds(options.coordinator_gone_after);
  double admission_wait_s = absl::ToDoubleSeconds(options.max_admission_wait);
  double upload_idle_timeout_s = absl::ToDoubleSeconds(options.upload_idle_timeout);
  double upload_rate_window_s = absl::ToDoubleSeconds(options.upload_rate_window);
  double download_idle_timeout_s = absl::ToDoubleSeconds(options.download_idle_timeout);
  double full_disk_upload_retention_s = absl::ToDoubleSeconds(options.full_disk_upload_retention);
  double histogram_wait_s = absl::ToDoubleSeconds(options.histogram_wait);
  double upload_retention_s = absl::ToDoubleSeconds(options.upload_retention);
  double retry_backoff_s = absl::ToDoubleSeconds(options.catalog.backoff);
  double max_retry_backoff_s = absl::ToDoubleSeconds(options.catalog.max_backoff);
  double result_ttl_s = absl::ToDoubleSeconds(options.catalog.result_ttl);
  double derivative_grace_s = absl::ToDoubleSeconds(options.catalog.derivative_grace);
  double job_retention_s = absl::ToDoubleSeconds(options.catalog.job_retention);
  double expiry_interval_s = absl::ToDoubleSeconds(options.expiry_interval);
  const auto number = [&app](const std::string& name, auto& value, auto least, auto most,
                             const std::string& description) {
    using Value = std::decay_t<decltype(value)>;
    app.add_option(name, value, description)
        ->capture_default_str()
        ->type_name("N")
        ->check(CLI::Range(static_cast<Value>(least), static_cast<Value>(most)));
  };
  const auto seconds = [&app](const std::string& name, double& value,
                              const std::string& description) {
    app.add_option(name, value, description)
        ->capture_default_str()
        ->type_name("SECONDS")
        ->check(CLI::Range(0.1, 1e8));
  };

  app.add_option("--data-dir", options.data_dir,
                 "Folder for everything that is stored; made when it is missing, for one frontend "
                 "at a time")
      ->type_name("DIR")
      ->required();
  app.add_option(
         "--file-root", options.file_roots,
         "Folder below which registered files are read; repeatable. Links out of it are not "
         "followed")
      ->type_name("DIR")
      ->default_str("none");
  app.add_option("--coordinator", coordinators,
                 "A coordinator that may connect; repeatable. Once one is on the list, others are "
                 "refused")
      ->type_name("NAME=ADDR")
      ->default_str("none");
  rpc::AddSizeOption(app, "--max-upload-size", options.max_upload_bytes,
                     "Largest file, uploaded or brought as a result");
  rpc::AddSizeOption(app, "--max-registered-size", options.max_registered_bytes,
                     "Largest file below a --file-root that is registered");
  number("--max-pixels", options.decode.max_pixels, 1, UINT64_MAX / 2,
         "Largest image, in width x height");
  number("--max-dimension", options.decode.max_dimension, 1, 1u << 30, "Largest width and height");
  number("--max-jpeg-scans", options.decode.max_jpeg_scans, 1, 1u << 20,
         "Scans of a progressive JPEG");
  rpc::AddSizeOption(app, "--max-metadata", options.decode.max_metadata_bytes,
                     "Metadata of an image before its first pixel");
  number("--max-queued-jobs", options.catalog.max_queued_jobs, 1, UINT64_MAX / 2,
         "Jobs that wait; one more is refused");
  number("--max-attempts", options.catalog.max_attempts, 1, 1000,
         "Attempts of one job before it fails for good");
  number("--max-holder-deaths", options.catalog.max_holder_deaths, 1, 1000,
         "A job fails as poison after so many coordinators were heard of no more while they had "
         "it");
  seconds("--retry-backoff-s", retry_backoff_s,
          "Wait after the first failed attempt; doubles with each");
  seconds("--max-retry-backoff-s", max_retry_backoff_s, "Longest wait after a failed attempt");
  seconds("--lease-ttl-s", lease_ttl_s, "How long a lease is good for without renewal");
  seconds("--heartbeat-interval-s", heartbeat_interval_s,
          "How often coordinators are asked to report");
  seconds("--coordinator-timeout-s", coordinator_timeout_s,
          "A coordinator that is silent for so long counts as gone");
  number("--max-uploads", options.max_uploads, 1, 65536, "Uploads at once");
  number("--max-waiting-uploads", options.max_waiting_uploads, 0, 65536,
         "Uploads that wait for their turn");
  number("--max-downloads", options.max_downloads, 1, 65536, "Downloads at once");
  number("--max-waiting-downloads", options.max_waiting_downloads, 0, 65536,
         "Downloads that wait for their turn");
  number("--max-job-transfers", options.max_job_transfers, 1, 65536,
         "Sources and results of jobs under way at once");
  number("--max-waiting-job-transfers", options.max_waiting_job_transfers, 0, 65536,
         "Sources and results of jobs that wait for their turn");
  rpc::AddSizeOption(app, "--max-inline-source", options.max_inline_source_bytes,
                     "Sources up to this size come with their lease, when its coordinator can take "
                     "them so (0: none; at most 1MiB)");
  number("--max-watchers", options.max_watchers, 1, 65536,
         "Clients that follow a job at once; each takes a thread");
  number("--max-histogram-waiters", options.max_histogram_waiters, 1, 65536,
         "Clients that wait for statistics at once; each takes a thread");
  number("--max-coordinators", options.max_coordinators, 1, 1024,
         "Coordinators attached at once; each takes a thread");
  number("--max-lease-waiters", options.max_lease_waiters, 1, 65536,
         "Job slots of coordinators that wait in the queue at once; each takes a thread");
  seconds("--admission-wait-s", admission_wait_s,
          "A call that waits longer for its turn is refused");
  seconds("--upload-idle-timeout-s", upload_idle_timeout_s,
          "An upload on which nothing comes for so long is ended; it can be resumed");
  rpc::AddSizeOption(app, "--min-upload-rate", options.min_upload_rate,
                     "Bytes per second: a slower upload is ended; it can be resumed (0: any)");
  seconds("--upload-rate-window-s", upload_rate_window_s,
          "Time over which the rate of an upload is taken");
  seconds("--download-idle-timeout-s", download_idle_timeout_s,
          "A stream that nobody reads for so long is ended; it can be resumed");
  seconds("--upload-retention-s", upload_retention_s,
          "An unfinished upload that nobody continues for so long is removed");
  seconds("--full-disk-upload-retention-s", full_disk_upload_retention_s,
          "The same while the disk is full and another upload or result needs the room");
  seconds("--histogram-wait-s", histogram_wait_s,
          "How long GetHistogram waits while the samples are counted");
  rpc::AddSizeOption(app, "--disk-reserve", options.disk_reserve_bytes,
                     "Free space that stays on the disk; what would go below it is refused");
  rpc::AddSizeOption(app, "--max-packed-size", options.max_packed_bytes,
                     "Largest file that is stored together with others in one file (0: none)");
  rpc::AddSizeOption(app, "--max-catalog-size", options.max_catalog_bytes,
                     "Largest file of the catalog (0: no limit)");
  app.add_option("--result-ttl-s", result_ttl_s,
                 "How long a result is kept after it was made or asked for again (0: for ever); "
                 "uploads and registered files are kept until they are deleted")
      ->capture_default_str()
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 1e10));
  app.add_option("--job-retention-s", job_retention_s,
                 "How long a job is remembered after it ended, and an upload's id after it was "
                 "finished (0: for ever); when the catalog is full the oldest go earlier")
      ->capture_default_str()
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 1e10));
  rpc::AddSizeOption(app, "--derivative-budget", options.catalog.derivative_budget_bytes,
                     "All results together; beyond it those go that were not used for longest (0: "
                     "no limit)");
  app.add_option("--derivative-grace-s", derivative_grace_s,
                 "A result that was made or used so short ago stays, whatever --derivative-budget "
                 "says")
      ->capture_default_str()
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 1e8));
  seconds("--expiry-interval-s", expiry_interval_s,
          "Time between two looks at what has expired or is too much");
  if (const auto exit_code = program.Parse(argc, argv)) return *exit_code;

  for (const std::string& text : coordinators) {
    if (!ParseCoordinator(text, options.coordinators.emplace_back())) {
      std::fprintf(stderr, "histeq-frontend: --coordinator %s: NAME=ADDR is needed\n",
                   text.c_str());
      return 2;
    }
  }
  options.catalog.lease_ttl = absl::Seconds(lease_ttl_s);
  options.catalog.backoff = absl::Seconds(retry_backoff_s);
  options.catalog.max_backoff =
      std::max(absl::Seconds(max_retry_backoff_s), options.catalog.backoff);
  options.heartbeat_interval = absl::Seconds(heartbeat_interval_s);
  options.coordinator_gone_after = absl::Seconds(coordinator_timeout_s);
  options.max_admission_wait = absl::Seconds(admission_wait_s);
  options.upload_idle_timeout = absl::Seconds(upload_idle_timeout_s);
  options.upload_rate_window = absl::Seconds(upload_rate_window_s);
  options.download_idle_timeout = absl::Seconds(download_idle_timeout_s);
  options.upload_retention = absl::Seconds(upload_retention_s);
  options.full_disk_upload_retention = absl::Seconds(full_disk_upload_retention_s);
  options.catalog.result_ttl =
      result_ttl_s == 0 ? absl::InfiniteDuration() : absl::Seconds(result_ttl_s);
  options.catalog.derivative_grace = absl::Seconds(derivative_grace_s);
  options.catalog.job_retention =
      job_retention_s == 0 ? absl::InfiniteDuration() : absl::Seconds(job_retention_s);
  options.expiry_interval = absl::Seconds(expiry_interval_s);
  options.histogram_wait = absl::Seconds(histogram_wait_s);
  // Who is asked to report less often than a lease lasts loses it.
  options.heartbeat_interval = std::min({options.heartbeat_interval, options.catalog.lease_ttl / 4,
                                         options.coordinator_gone_after / 4});

  auto frontend = Frontend::Open(options);
  if (!frontend.ok()) {
    std::fprintf(stderr, "histeq-frontend: %s\n", std::string(frontend.status().message()).c_str());
    return absl::IsInvalidArgument(frontend.status()) ? 2 : 1;
  }
  rpc::ServerOptions server_options = program.flags().server_options();
  server_options.services = (*frontend)->services();
  server_options.max_threads = options.max_threads();
  auto server = rpc::Server::Start(server_options);
  if (!server.ok()) {
    std::fprintf(stderr, "histeq-frontend: %s\n", std::string(server.status().message()).c_str());
    return 1;
  }
  (*frontend)->StartMaintenance();
  rpc::LogEvent(rpc::LogLevel::kInfo, "started",
                {{"address", (*server)->local_address()}, {"version", rpc::Version()}});

  const int signal = program.WaitForSignal();
  rpc::LogEvent(rpc::LogLevel::kInfo, "stopping", {{"signal", fmt::format("{}", signal)}});
  (*server)->SetServing(false);
  (*frontend)->Drain(program.flags().drain_timeout());
  (*server)->Shutdown(absl::Seconds(1));
  (*server).reset();
  (*frontend).reset();
  rpc::LogEvent(rpc::LogLevel::kInfo, "stopped", {});
  return 0;
}

}  // namespace
}  // namespace histeq::frontend

int main(int argc, char** argv) { return histeq::frontend::Main(argc, argv); }
