#include "base/cancel.h"

#include <catch2/catch.hpp>
#include <thread>

namespace histeq::base {
namespace {

TEST_CASE("a token reports the first reason given") {
  CancelSource source;
  CancelToken token = source.token();
  CHECK(token.Check().ok());
  source.Cancel(absl::CancelledError("first"));
  source.Cancel(absl::AbortedError("second"));
  CHECK(token.Check() == absl::CancelledError("first"));
}

TEST_CASE("a default token is never cancelled and its wait ends by time") {
  CancelToken token;
  CHECK(token.WaitFor(absl::Milliseconds(1)).ok());
  CHECK(token.OnCancel([] { FAIL("called"); }) == nullptr);
}

TEST_CASE("a child source follows its parent, not the other way") {
  CancelSource parent;
  CancelSource child(parent.token());
  SECTION("parent first") {
    parent.Cancel(absl::DeadlineExceededError("late"));
    CHECK(child.token().Check() == absl::DeadlineExceededError("late"));
  }
  SECTION("child only") {
    child.Cancel(absl::CancelledError("child"));
    CHECK(parent.token().Check().ok());
  }
}

TEST_CASE("callbacks run once, not after removal, and may remove themselves") {
  CancelSource source;
  int kept = 0;
  int removed = 0;
  int last = 0;
  auto removed_handle = source.token().OnCancel([&] { ++removed; });
  std::shared_ptr<void> self;
  self = source.token().OnCancel([&] {
    ++kept;
    self.reset();
  });
  auto last_handle = source.token().OnCancel([&] { ++last; });
  removed_handle.reset();
  source.Cancel(absl::CancelledError("now"));
  source.Cancel(absl::CancelledError("again"));
  CHECK(kept == 1);
  CHECK(last == 1);
  CHECK(removed == 0);
  int late = 0;
  auto handle = source.token().OnCancel([&] { ++late; });
  CHECK(late == 1);
}

TEST_CASE("a waiting thread wakes when cancelled") {
  CancelSource source;
  absl::Status seen;
  std::thread waiter([&] { seen = source.token().WaitFor(absl::Seconds(60)); });
  source.Cancel(absl::CancelledError("wake"));
  waiter.join();
  CHECK(seen == absl::CancelledError("wake"));
}

}  // namespace
}  // namespace histeq::base
