#include "base/error.h"

#include <catch2/catch.hpp>

namespace histeq::base {
namespace {

TEST_CASE("the detail of an error comes back whole") {
  const std::string odd("a\0=\n\xFF", 5);
  const absl::Status status =
      MakeError(absl::StatusCode::kInvalidArgument, "too large",
                {.reason = "IMAGE_TOO_LARGE",
                 .metadata = {{"limit", "5"}, {"actual", odd}, {"empty", ""}},
                 .field = "image",
                 .retry_after = absl::Milliseconds(1500)});
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  for (const absl::Status& each : {status, Annotate(status, "job 7")}) {
    const auto detail = GetErrorDetail(each);
    REQUIRE(detail.has_value());
    CHECK(detail->reason == "IMAGE_TOO_LARGE");
    CHECK(detail->field == "image");
    CHECK(detail->metadata.size() == 3);
    CHECK(detail->metadata.at("actual") == odd);
    CHECK(detail->retry_after == absl::Milliseconds(1500));
  }
  CHECK(Annotate(status, "job 7").message() == "job 7: too large");
}

TEST_CASE("a plain status has no detail, and OK stays OK") {
  CHECK_FALSE(GetErrorDetail(absl::InternalError("x")).has_value());
  CHECK(Annotate(absl::OkStatus(), "x").ok());
}

}  // namespace
}  // namespace histeq::base
