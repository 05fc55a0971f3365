#include "work_threads.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <memory>
#include <thread>
#include <vector>

namespace histeq::worker {
namespace {

TEST_CASE("as many compute as there are permits") {
  WorkThreads threads(2);
  std::atomic<int> inside = 0, most = 0, done = 0;
  std::vector<std::thread> all;
  for (int i = 0; i < 8; ++i) {
    all.emplace_back([&] {
      for (int n = 0; n < 200; ++n) {
        const auto permit = threads.Enter({});
        const int now = ++inside;
        int seen = most;
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        --inside;
        done += permit.ok();
      }
    });
  }
  for (auto& thread : all) thread.join();
  CHECK(done == 1600);
  CHECK(most <= 2);
}

TEST_CASE("a cancelled wait ends, and takes nobody's permit") {
  WorkThreads threads(1);
  auto held = std::make_unique<WorkThreads::Permit>(*threads.Enter({}));
  base::CancelSource cancel;
  std::thread canceller([&] { cancel.Cancel(absl::CancelledError("left")); });
  CHECK(threads.Enter(cancel.token()).status().code() == absl::StatusCode::kCancelled);
  canceller.join();
  CHECK(threads.Enter(cancel.token()).status().code() == absl::StatusCode::kCancelled);
  held.reset();
  CHECK(threads.Enter({}).ok());
}

}  // namespace
}  // namespace histeq::worker
