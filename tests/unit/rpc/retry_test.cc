#include "rpc/retry.h"

#include <catch2/catch.hpp>
#include <set>
#include <thread>

#include "absl/time/clock.h"
#include "base/error.h"

namespace histeq::rpc {
namespace {

TEST_CASE("Pauses grow by the factor up to the longest") {
  Backoff backoff({.first = absl::Milliseconds(100),
                   .longest = absl::Milliseconds(700),
                   .factor = 2,
                   .jitter = 0});
  for (const int expected : {100, 200, 400, 700, 700}) {
    CHECK(backoff.Next() == absl::Milliseconds(expected));
  }
  backoff.Reset();
  CHECK(backoff.Next() == absl::Milliseconds(100));
}

TEST_CASE("Each pause is moved within the jitter, and not always the same") {
  Backoff backoff(
      {.first = absl::Seconds(1), .longest = absl::Seconds(1), .factor = 2, .jitter = 0.2});
  std::set<absl::Duration> seen;
  for (int i = 0; i < 200; ++i) {
    const absl::Duration pause = backoff.Next();
    CHECK(pause >= absl::Milliseconds(800));
    CHECK(pause <= absl::Milliseconds(1200));
    seen.insert(pause);
  }
  CHECK(seen.size() > 100);
}

TEST_CASE("A wait takes at least what the server asked for") {
  Backoff backoff({.first = absl::Microseconds(1), .longest = absl::Microseconds(1)});
  const absl::Time begin = absl::Now();
  CHECK(backoff.Wait(base::CancelToken(), absl::Milliseconds(50)).ok());
  CHECK(absl::Now() - begin >= absl::Milliseconds(49));
}

TEST_CASE("A wait ends at once when cancelled, with the token's status") {
  Backoff backoff({.first = absl::Hours(10), .longest = absl::Hours(10)});
  base::CancelSource source;
  std::thread canceller([&] { source.Cancel(absl::AbortedError("lease lost")); });
  CHECK(backoff.Wait(source.token()) == absl::AbortedError("lease lost"));
  canceller.join();
  CHECK(backoff.Wait(source.token(), absl::Hours(1)) == absl::AbortedError("lease lost"));
}

TEST_CASE("What may be tried again") {
  CHECK(IsRetryable(absl::UnavailableError("")));
  CHECK(IsRetryable(absl::DeadlineExceededError("")));
  CHECK(IsRetryable(absl::AbortedError("")));
  CHECK(!IsRetryable(absl::OkStatus()));
  CHECK(!IsRetryable(absl::InvalidArgumentError("")));
  CHECK(!IsRetryable(absl::CancelledError("")));
  CHECK(!IsRetryable(absl::InternalError("")));
  CHECK(!IsRetryable(absl::DataLossError("")));
  CHECK(!IsRetryable(absl::NotFoundError("")));
  // A full disk does not go away by waiting; a full queue does.
  CHECK(!IsRetryable(
      base::MakeError(absl::StatusCode::kResourceExhausted, "", {.reason = "DISK_FULL"})));
  CHECK(IsRetryable(base::MakeError(absl::StatusCode::kResourceExhausted, "",
                                    {.reason = "QUEUE_FULL", .retry_after = absl::Seconds(1)})));
}

}  // namespace
}  // namespace histeq::rpc
