// A program as the services are, for program_test: prints what its flags became.

#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <vector>

#include "rpc/event_log.h"
#include "rpc/program.h"

int main(int argc, char** argv) {
  histeq::rpc::TuneAllocator();
  histeq::rpc::Program program("histeq-probe", "A program as the services are.", 7777);
  uint64_t max_pixels = 1000;
  uint64_t budget = 256 << 20;
  std::vector<std::string> peers;
  bool wait = false;
  bool drain_for_ever = false;
  program.app()
      .add_option("--max-pixels", max_pixels, "Largest image, in width x height")
      ->type_name("N");
  histeq::rpc::AddSizeOption(program.app(), "--budget", budget,
                             "Memory for segments, of which there may be many, so that this "
                             "description needs more than one line.");
  program.app()
      .add_option("--peers", peers, "Addresses, comma-separated")
      ->delimiter(',')
      ->type_name("ADDR");
  program.app().add_flag("--wait", wait, "Wait for a signal.");
  program.app().add_flag("--drain-for-ever", drain_for_ever, "Do not end after the signal.");
  if (const auto exit_code = program.Parse(argc, argv)) return *exit_code;

  const histeq::rpc::ProgramFlags& flags = program.flags();
  std::string all_peers;
  for (const std::string& peer : peers) all_peers += '<' + peer + '>';
  std::printf(
      "listen=%s\nport=%d\nname=%s\nlog_level=%s\ndrain=%g\nmax_pixels=%llu\nbudget=%llu\n"
      "peers=%s\n",
      flags.listen.c_str(), flags.port, flags.name.c_str(), flags.log_level.c_str(),
      absl::ToDoubleSeconds(flags.drain_timeout()), static_cast<unsigned long long>(max_pixels),
      static_cast<unsigned long long>(budget), all_peers.c_str());
  std::fflush(stdout);
  histeq::rpc::LogEvent(histeq::rpc::LogLevel::kInfo, "started", {});
  if (!wait) return 0;
  std::printf("signal=%d\n", program.WaitForSignal());
  std::fflush(stdout);
  if (drain_for_ever) {
    std::mutex mutex;
    std::condition_variable never;
    std::unique_lock lock(mutex);
    never.wait(lock, [] { return false; });
  }
  return 0;
}
