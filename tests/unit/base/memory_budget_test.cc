#include "base/memory_budget.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <limits>

namespace histeq::base {
namespace {

TEST_CASE("a budget gives what fits and nothing more") {
  MemoryBudget budget(100);
  CHECK(budget.TryTake(60));
  CHECK_FALSE(budget.TryTake(41));
  CHECK_FALSE(budget.TryTake(std::numeric_limits<int64_t>::max()));
  CHECK(budget.TryTake(40));
  CHECK_FALSE(budget.TryTake(1));
  budget.Give(100);
  CHECK(budget.used_bytes() == 0);
}

}  // namespace
}  // namespace histeq::base
