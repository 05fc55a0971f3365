// Who gets places of the pool, and when.

#include "rpc/worker_pool.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "../../../libs/rpc/src/worker_pool_state.h"

namespace histeq::rpc {
namespace {

PoolWorker Worker(const std::string& name, uint32_t slots) {
  // Nobody is called in these tests.
  return {.name = name, .address = "127.0.0.1:1", .slots = slots, .free_slots = slots};
}

struct Fixture {
  WorkerPool pool;
  std::shared_ptr<WorkerPool::State> state = pool.state();
  Claimant a, b;
  Fixture() {
    state->Enter(a);
    state->Enter(b);
  }
  ~Fixture() {
    state->Leave(a);
    state->Leave(b);
  }
  std::shared_ptr<PooledWorker> Take(Claimant& who, uint64_t bytes = 0) {
    std::lock_guard lock(state->mutex);
    who.need_bytes = bytes;
    state->SetWants(who, true);
    return state->TryAcquire(who);
  }
  std::string NameOf(const std::shared_ptr<PooledWorker>& worker) {
    return worker == nullptr ? "" : worker->info.name;
  }
};

TEST_CASE("places are those of the workers, the least loaded first") {
  Fixture f;
  CHECK(f.Take(f.a) == nullptr);
  f.pool.Update(Worker("one", 1));
  f.pool.Update(Worker("three", 3));
  CHECK(f.pool.size() == 2);
  CHECK(f.NameOf(f.Take(f.a)) == "one");
  for (int i = 0; i < 3; ++i) CHECK(f.NameOf(f.Take(f.a)) == "three");
  CHECK(f.Take(f.a) == nullptr);
  CHECK(f.a.held == 4);
}

TEST_CASE("whoever has fewer places has the next") {
  Fixture f;
  f.pool.Update(Worker("w", 4));
  f.state->SetWants(f.b, true);
  CHECK(f.Take(f.a) != nullptr);
  // b wants one, and has none.
  CHECK(f.Take(f.a) == nullptr);
  CHECK(f.Take(f.b) != nullptr);
  CHECK(f.Take(f.a) != nullptr);
  CHECK(f.Take(f.a) == nullptr);
  {
    std::lock_guard lock(f.state->mutex);
    f.state->SetWants(f.b, false);
    // Not for a spare copy of something, while somebody wants places.
    f.state->SetWants(f.b, true);
    CHECK(f.state->TryAcquire(f.a, nullptr, /*spare=*/true) == nullptr);
    f.state->SetWants(f.b, false);
  }
  CHECK(f.Take(f.a) != nullptr);
}

TEST_CASE("nobody who wants a place sleeps while one is free") {
  WorkerPool pool;
  const std::shared_ptr<WorkerPool::State> state = pool.state();
  pool.Update(Worker("one", 1));
  pool.Update(Worker("two", 2));
  std::atomic<bool> slept = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      Claimant claimant;
      claimant.takes_any = i > 0;
      std::unique_lock lock(state->mutex);
      state->Enter(claimant);
      for (int turn = 0; turn < 300 && !slept; ++turn) {
        state->SetWants(claimant, true);
        std::shared_ptr<PooledWorker> worker = state->TryAcquire(claimant);
        // Some have enough of it.
        while (worker == nullptr && (i != 1 || turn % 3 != 0)) {
          if (claimant.changed.wait_for(lock, std::chrono::seconds(60)) ==
              std::cv_status::timeout) {
            slept = true;
            break;
          }
          worker = state->TryAcquire(claimant);
        }
        state->SetWants(claimant, false);
        if (worker == nullptr) continue;
        lock.unlock();
        std::this_thread::yield();
        lock.lock();
        state->Release(claimant, *worker);
      }
      state->Leave(claimant);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(!slept);
}

TEST_CASE("what a claimant cannot use it does not keep from others") {
  Fixture f;
  const auto with_memory = [](const std::string& name, uint32_t slots, uint64_t bytes) {
    PoolWorker worker = Worker(name, slots);
    worker.memory_bytes = bytes;
    return worker;
  };
  f.pool.Update(with_memory("small", 4, 100));
  // b has nothing, and waits for a worker that is not there.
  CHECK(f.Take(f.b, 1000) == nullptr);
  CHECK(f.NameOf(f.Take(f.a, 10)) == "small");
  CHECK(f.NameOf(f.Take(f.a, 10)) == "small");
  {
    std::lock_guard lock(f.state->mutex);
    CHECK(f.NameOf(f.state->TryAcquire(f.a, nullptr, /*spare=*/true)) == "small");
  }
  CHECK(f.a.held == 3);
  // One that b can use is for b, though the load of the other is higher.
  f.pool.Update(with_memory("large", 2, 1000));
  CHECK(f.NameOf(f.Take(f.a, 10)) == "small");
  CHECK(f.Take(f.a, 10) == nullptr);
  CHECK(f.NameOf(f.Take(f.b, 1000)) == "large");
  {
    std::lock_guard lock(f.state->mutex);
    f.state->SetWants(f.b, false);
  }
  CHECK(f.NameOf(f.Take(f.a, 10)) == "large");
}

TEST_CASE("workers that drain, are held back or are too small get nothing") {
  Fixture f;
  PoolWorker worker = Worker("w", 2);
  worker.memory_bytes = 100;
  f.pool.Update(worker);
  CHECK(f.Take(f.a, 101) == nullptr);
  {
    std::lock_guard lock(f.state->mutex);
    CHECK_FALSE(f.state->AnyUsable(101));
    CHECK(f.state->AnyUsable(100));
  }
  const auto place = f.Take(f.a, 100);
  REQUIRE(place != nullptr);

  worker.draining = true;
  f.pool.Update(worker);
  CHECK(f.pool.size() == 0);
  CHECK(f.Take(f.a) == nullptr);
  worker.draining = false;
  f.pool.Update(worker);

  {
    std::lock_guard lock(f.state->mutex);
    f.state->HoldBack(*place, absl::Hours(1));
  }
  CHECK(f.Take(f.a) == nullptr);
  worker.free_slots = 0;
  f.pool.Update(worker);
  CHECK(f.Take(f.a) == nullptr);
  // It says that it has room again.
  worker.free_slots = 1;
  f.pool.Update(worker);
  CHECK(f.Take(f.a) != nullptr);

  {
    std::lock_guard lock(f.state->mutex);
    f.state->Punish(*place, absl::Hours(1));
    const absl::Duration until = place->held_until;
    // Calls that failed at the same time are one fault.
    f.state->Punish(*place, absl::Hours(1));
    CHECK(place->held_until == until);
    CHECK(f.state->NextRelease(f.state->Now()) == until);
    CHECK(place->faults == 1);
  }
  // What it says about its slots does not make good for that.
  f.pool.Update(worker);
  CHECK(f.pool.size() == 0);
}

TEST_CASE("a worker that leaves, or has another address, is gone for its calls") {
  Fixture f;
  f.pool.Update(Worker("w", 1));
  const auto first = f.Take(f.a);
  REQUIRE(first != nullptr);
  {
    std::lock_guard lock(f.state->mutex);
    first->segments_done = 7;
  }
  CHECK(f.pool.SegmentsDone("w") == 7);
  PoolWorker moved = Worker("w", 1);
  moved.address = "127.0.0.1:2";
  f.pool.Update(moved);
  CHECK(first->gone.token().cancelled());
  CHECK(f.pool.SegmentsDone("w") == 0);
  const auto second = f.Take(f.a);
  REQUIRE(second != nullptr);
  CHECK_FALSE(second->gone.token().cancelled());
  f.pool.Remove("w");
  CHECK(second->gone.token().Check().code() == absl::StatusCode::kUnavailable);
  CHECK(f.pool.size() == 0);
  CHECK(f.pool.SegmentsDone("w") == 0);
  f.pool.Remove("w");
}

TEST_CASE("the mappings that a worker was sent are remembered, not for ever") {
  PooledWorker worker(Worker("w", 1));
  CHECK_FALSE(worker.Knows("m"));
  worker.Learn("m");
  CHECK(worker.Knows("m"));
  worker.Forget("m");
  CHECK_FALSE(worker.Knows("m"));
  worker.Learn("first");
  for (int i = 0; i < 1000; ++i) worker.Learn(std::to_string(i));
  CHECK_FALSE(worker.Knows("first"));
  CHECK(worker.Knows("999"));
}

}  // namespace
}  // namespace histeq::rpc
