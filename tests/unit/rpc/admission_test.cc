#include "rpc/admission.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "base/error.h"

namespace histeq::rpc {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

bool Never() { return false; }

void CheckRefused(const absl::Status& status, const char* limit) {
  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  const auto detail = base::GetErrorDetail(status);
  REQUIRE(detail.has_value());
  CHECK(detail->reason == "TOO_MANY_CALLS");
  CHECK(detail->metadata.at("limit") == limit);
  CHECK(detail->metadata.at("what") == "uploads");
  CHECK(std::stoi(detail->metadata.at("actual")) > std::stoi(limit));
  CHECK(detail->retry_after == absl::Seconds(3));
}

TEST_CASE("Passes are given up to the limit, and again when they come back") {
  Admission admission({.what = "uploads", .max_active = 2, .retry_after = absl::Seconds(3)});
  auto first = admission.Enter(Never);
  REQUIRE(first.ok());
  {
    auto second = admission.Enter(Never);
    REQUIRE(second.ok());
    CHECK(admission.active() == 2);
    CheckRefused(admission.Enter(Never).status(), "2");
  }
  CHECK(admission.active() == 1);
  CHECK(admission.Enter(Never).ok());
}

TEST_CASE("A pass that was moved is given back once") {
  Admission admission({.what = "uploads", .max_active = 1});
  {
    auto pass = admission.Enter(Never);
    REQUIRE(pass.ok());
    const Admission::Pass moved = *std::move(pass);
    CHECK(admission.active() == 1);
  }
  CHECK(admission.active() == 0);
}

TEST_CASE("Who waits is let in when another leaves") {
  Admission admission(
      {.what = "uploads", .max_active = 1, .max_waiting = 1, .max_wait = kPatience});
  std::optional<absl::StatusOr<Admission::Pass>> inside(admission.Enter(Never));
  REQUIRE(inside->ok());
  std::atomic<bool> waits = false;
  absl::Status entered = absl::UnknownError("");
  std::thread waiter([&] {
    entered = admission
                  .Enter([&] {
                    waits = true;
                    return false;
                  })
                  .status();
  });
  while (!waits) std::this_thread::yield();
  inside.reset();
  waiter.join();
  CHECK(entered.ok());
}

TEST_CASE("Who waits too long is refused, and leaves the queue") {
  Admission admission({.what = "uploads",
                       .max_active = 1,
                       .max_waiting = 1,
                       .max_wait = absl::Milliseconds(20),
                       .retry_after = absl::Seconds(3)});
  const auto inside = admission.Enter(Never);
  for (int i = 0; i < 3; ++i) CheckRefused(admission.Enter(Never).status(), "1");
}

TEST_CASE("Who waits and is cancelled leaves, and holds nobody up") {
  Admission admission(
      {.what = "uploads", .max_active = 1, .max_waiting = 2, .max_wait = kPatience});
  std::optional<absl::StatusOr<Admission::Pass>> inside(admission.Enter(Never));
  std::atomic<bool> waits = false;
  std::atomic<bool> gone = false;
  std::thread first([&] {
    const absl::Status status = admission
                                    .Enter([&] {
                                      waits = true;
                                      return gone.load();
                                    })
                                    .status();
    CHECK(status.code() == absl::StatusCode::kCancelled);
  });
  while (!waits) std::this_thread::yield();
  std::atomic<bool> second_waits = false;
  absl::Status entered = absl::UnknownError("");
  std::thread second([&] {
    entered = admission
                  .Enter([&] {
                    second_waits = true;
                    return false;
                  })
                  .status();
  });
  while (!second_waits) std::this_thread::yield();
  gone = true;
  first.join();
  inside.reset();
  second.join();
  CHECK(entered.ok());
}

TEST_CASE("Those who wait enter in the order in which they came") {
  Admission admission(
      {.what = "uploads", .max_active = 1, .max_waiting = 8, .max_wait = kPatience});
  std::optional<absl::StatusOr<Admission::Pass>> inside(admission.Enter(Never));
  std::vector<int> order;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    std::atomic<bool> waits = false;
    threads.emplace_back([&, i] {
      std::atomic<bool>* told = &waits;
      const auto pass = admission.Enter([&] {
        if (told != nullptr) *std::exchange(told, nullptr) = true;
        return false;
      });
      std::lock_guard lock(mutex);
      order.push_back(i);
    });
    while (!waits) std::this_thread::yield();
  }
  inside.reset();
  for (std::thread& thread : threads) thread.join();
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("Under many threads the limit holds, and nothing is left behind") {
  Admission admission(
      {.what = "uploads", .max_active = 3, .max_waiting = 16, .max_wait = kPatience});
  std::atomic<uint32_t> inside = 0;
  std::atomic<uint32_t> most = 0;
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 300; ++i) {
        const auto pass = admission.Enter(Never);
        if (!pass.ok()) {
          ++failed;
          continue;
        }
        const uint32_t now = ++inside;
        uint32_t before = most;
        while (before < now && !most.compare_exchange_weak(before, now)) {
        }
        std::this_thread::yield();
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failed == 0);
  CHECK(most <= 3);
  CHECK(admission.active() == 0);
  CHECK(admission.Enter(Never).ok());
}

}  // namespace
}  // namespace histeq::rpc
