#include <catch2/catch.hpp>

#include "engine/thread_executor.h"
#include "executor_suite.h"

namespace histeq::testing {

TEST_CASE("segments on the calling thread") {
  CheckExecutor({.make = [] { return std::make_unique<engine::InlineExecutor>(); }, .window = 1});
}

TEST_CASE("segments on one thread") {
  CheckExecutor({.make = [] { return std::make_unique<engine::ThreadExecutor>(1); }, .window = 3});
}

TEST_CASE("segments on many threads") {
  CheckExecutor({.make = [] { return std::make_unique<engine::ThreadExecutor>(7); }, .window = 15});
}

}  // namespace histeq::testing
