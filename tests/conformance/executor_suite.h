// What every Executor does, wherever its segments are worked on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "engine/executor.h"

namespace histeq::testing {

struct ExecutorSuite {
  // A fresh one; what it works with outlives it.
  std::function<std::unique_ptr<engine::Executor>()> make;
  // No segment that is so far ahead of the first undelivered one is started.
  uint32_t window = 1;
};

// Call it in a TEST_CASE: it has sections. Link histeq_engine_testing.
void CheckExecutor(const ExecutorSuite& suite);

}  // namespace histeq::testing
