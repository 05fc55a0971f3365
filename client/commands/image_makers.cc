#include "commands/image_makers.h"

#include <algorithm>
#include <thread>

#include "local/service_maker.h"
#include "local/thread_maker.h"

namespace histeq::client {
namespace {

codec::DecodeLimits LimitsOf(const ImageFlags& flags) {
  codec::DecodeLimits limits;
  limits.max_pixels = flags.max_pixels;
  return limits;
}

uint32_t Threads(const ImageFlags& flags) {
  return flags.threads > 0 ? flags.threads : std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

ImageMakers::ImageMakers(const Session& session, const ImageFlags& flags, size_t most)
    : budget_(static_cast<int64_t>(flags.image_budget_bytes)),
      executor_(flags.processes > 0 || !IsLocal(session, flags) ? 1 : Threads(flags)) {
  const auto count = [most](size_t wanted) { return std::clamp<size_t>(most, 1, wanted); };
  if (!IsLocal(session, flags)) {
    for (size_t i = 0; i < count(flags.parallel); ++i) {
      makers_.push_back(std::make_unique<ServiceMaker>(session.client));
    }
  } else if (flags.processes > 0) {
    WorkerProcessOptions options;
    options.program = session.worker_program;
    options.limits = LimitsOf(flags);
    options.scratch_dir = ScratchFolder(flags);
    options.memory_bytes = flags.worker_memory_bytes;
    options.image_timeout = absl::Seconds(flags.image_timeout_s);
    options.test_faults = flags.test_faults;
    processes_.emplace(count(flags.processes), executor_, options);
    makers_ = processes_->Makers();
  } else {
    for (size_t i = 0; i < count(Threads(flags)); ++i) {
      makers_.push_back(std::make_unique<ThreadMaker>(
          executor_, budget_,
          ThreadMakerOptions{.limits = LimitsOf(flags), .scratch_dir = ScratchFolder(flags)}));
    }
  }
}

}  // namespace histeq::client
