#include "rpc/status.h"

#include <catch2/catch.hpp>
#include <string>

#include "base/error.h"
#include "fmt/format.h"
#include "google/rpc/error_details.pb.h"

namespace histeq::rpc {
namespace {

base::ErrorDetail DetailOf(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  REQUIRE(detail.has_value());
  return *detail;
}

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

// What the trailers of a status take on the wire at worst: grpc-message percent-encoded,
// grpc-status-details-bin in base64.
size_t TrailerBytes(const grpc::Status& status) {
  size_t bytes = 0;
  for (const char c : status.error_message()) bytes += c >= 0x20 && c <= 0x7E && c != '%' ? 1 : 3;
  return bytes + (status.error_details().size() + 2) / 3 * 4;
}

// As a client that knows nothing of us reads them.
google::rpc::Status DetailsOf(const grpc::Status& status) {
  google::rpc::Status details;
  REQUIRE(details.ParseFromString(status.error_details()));
  return details;
}

TEST_CASE("A status comes back as it was, with its detail") {
  const absl::Status sent =
      base::MakeError(absl::StatusCode::kResourceExhausted, "too many uploads",
                      {.reason = "TOO_MANY_CALLS",
                       .metadata = {{"limit", "8"}, {"what", "uploads"}},
                       .field = "header.size_bytes",
                       .retry_after = absl::Milliseconds(1500)});
  const absl::Status back = FromGrpc(ToGrpc(sent));
  CHECK(back.code() == absl::StatusCode::kResourceExhausted);
  CHECK(MessageOf(back) == "too many uploads");
  const base::ErrorDetail detail = DetailOf(back);
  CHECK(detail.reason == "TOO_MANY_CALLS");
  CHECK(detail.metadata == std::map<std::string, std::string>{{"limit", "8"}, {"what", "uploads"}});
  CHECK(detail.field == "header.size_bytes");
  CHECK(detail.retry_after == absl::Milliseconds(1500));
}

TEST_CASE("Every code is kept, and OK is OK") {
  CHECK(ToGrpc(absl::OkStatus()).ok());
  CHECK(FromGrpc(grpc::Status::OK).ok());
  for (int code = 1; code <= 16; ++code) {
    const absl::Status sent(static_cast<absl::StatusCode>(code), "why");
    CHECK(ToGrpc(sent).error_code() == static_cast<grpc::StatusCode>(code));
    CHECK(FromGrpc(ToGrpc(sent)).code() == sent.code());
  }
}

TEST_CASE("The details are the standard ones, for any client") {
  const grpc::Status status = ToGrpc(base::MakeError(
      absl::StatusCode::kInvalidArgument, "clip_limit is 0",
      {.reason = "BAD_PARAMETER", .metadata = {{"limit", "1 to 5"}}, .field = "operation.x"}));
  const google::rpc::Status details = DetailsOf(status);
  CHECK(details.code() == 3);
  CHECK(details.message() == "clip_limit is 0");
  REQUIRE(details.details_size() == 2);
  google::rpc::ErrorInfo info;
  REQUIRE(details.details(0).UnpackTo(&info));
  CHECK(info.domain() == "histeq");
  CHECK(info.reason() == "BAD_PARAMETER");
  CHECK(info.metadata().at("limit") == "1 to 5");
  google::rpc::BadRequest bad_request;
  REQUIRE(details.details(1).UnpackTo(&bad_request));
  CHECK(bad_request.field_violations(0).field() == "operation.x");
  CHECK(bad_request.field_violations(0).description() == "clip_limit is 0");
}

TEST_CASE("A status without a detail has its code's name as reason") {
  const absl::Status back = FromGrpc(ToGrpc(absl::UnavailableError("draining")));
  CHECK(DetailOf(back).reason == "UNAVAILABLE");
  CHECK(!DetailOf(back).retry_after.has_value());
}

TEST_CASE("Hostile bytes in messages and details travel as valid UTF-8") {
  const std::string hostile("a\0b\xFF\xC0\xAF\xED\xA0\x80\xF4\x90\x80\x80\xC3z\xE2\x82", 17);
  const absl::Status back = FromGrpc(ToGrpc(
      base::MakeError(absl::StatusCode::kNotFound, hostile,
                      {.reason = hostile, .metadata = {{hostile, hostile}}, .field = hostile})));
  CHECK(MessageOf(back) == std::string("a\0b???????????z??", 17));
  const base::ErrorDetail detail = DetailOf(back);
  CHECK(detail.reason == MessageOf(back));
  CHECK(detail.field == MessageOf(back));
  CHECK(detail.metadata.at(MessageOf(back)) == MessageOf(back));
}

TEST_CASE("Valid characters of all lengths stay") {
  const std::string text = "za\u0142\u017C \u20AC \U0001F600 100%";
  CHECK(MessageOf(FromGrpc(ToGrpc(absl::InternalError(text)))) == text);
}

TEST_CASE("However much there is, the trailers stay below 8 KiB, and the reason arrives") {
  // Bytes that are not encoded, that are, and characters of more than one byte.
  const std::string piece = GENERATE(as<std::string>(), "x", "%", "\xFF", "\u20AC", "\n", "ab%");
  std::string large;
  while (large.size() < 100'000) large += piece;
  base::ErrorDetail detail{
      .reason = "IMAGE_TOO_LARGE", .field = large, .retry_after = absl::InfiniteDuration()};
  for (int i = 0; i < 500; ++i) detail.metadata[std::to_string(i) + large] = large;
  detail.metadata["actual"] = "7";
  const grpc::Status status =
      ToGrpc(base::MakeError(absl::StatusCode::kInvalidArgument, large, detail));
  CHECK(TrailerBytes(status) < 7900);
  CHECK(status.error_message().size() > 1000);
  CHECK(status.error_message().ends_with("..."));
  const absl::Status back = FromGrpc(status);
  CHECK(DetailOf(back).reason == "IMAGE_TOO_LARGE");
  CHECK(!DetailOf(back).metadata.empty());
}

TEST_CASE("A long value is cut, and the facts beside it stay") {
  const absl::Status back = FromGrpc(ToGrpc(
      base::MakeError(absl::StatusCode::kInvalidArgument, "m",
                      {.reason = "R", .metadata = {{"a", std::string(5000, 'v')}, {"b", "2"}}})));
  CHECK(DetailOf(back).metadata.at("a") == fmt::format("{:v>509}...", ""));
  CHECK(DetailOf(back).metadata.at("b") == "2");
}

TEST_CASE("A message of the largest size that needs no cut is not cut") {
  const std::string message(4096, 'm');
  CHECK(MessageOf(FromGrpc(ToGrpc(absl::InternalError(message)))) == message);
  const std::string cut = MessageOf(FromGrpc(ToGrpc(absl::InternalError(message + "m"))));
  CHECK(cut == fmt::format("{:m>4093}...", ""));
}

TEST_CASE("Details that cannot be read are left out") {
  SECTION("garbage") {
    const absl::Status back =
        FromGrpc(grpc::Status(grpc::StatusCode::NOT_FOUND, "gone", "\xFF\xFF garbage"));
    CHECK(back.code() == absl::StatusCode::kNotFound);
    CHECK(MessageOf(back) == "gone");
    CHECK(!base::GetErrorDetail(back).has_value());
  }
  SECTION("other types, and garbage under a known type") {
    google::rpc::Status details;
    details.add_details()->set_type_url("type.googleapis.com/google.rpc.Help");
    auto& broken = *details.add_details();
    broken.set_type_url("type.googleapis.com/google.rpc.RetryInfo");
    broken.set_value("\xFF\xFF");
    details.add_details()->PackFrom(google::rpc::BadRequest());
    const absl::Status back =
        FromGrpc(grpc::Status(grpc::StatusCode::ABORTED, "again", details.SerializeAsString()));
    CHECK(back.code() == absl::StatusCode::kAborted);
    CHECK(!base::GetErrorDetail(back).has_value());
  }
  SECTION("another service's reason") {
    google::rpc::ErrorInfo info;
    info.set_domain("proxy.example");
    info.set_reason("QUOTA");
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(3);
    google::rpc::Status details;
    details.add_details()->PackFrom(info);
    details.add_details()->PackFrom(retry);
    const absl::Status back = FromGrpc(
        grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "later", details.SerializeAsString()));
    CHECK(DetailOf(back).reason.empty());
    CHECK(DetailOf(back).retry_after == absl::Seconds(3));
  }
}

TEST_CASE("A retry delay from outside is brought into range") {
  const auto delay_of = [](int64_t seconds, int32_t nanos) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(seconds);
    retry.mutable_retry_delay()->set_nanos(nanos);
    google::rpc::Status details;
    details.add_details()->PackFrom(retry);
    return *DetailOf(FromGrpc(grpc::Status(grpc::StatusCode::UNAVAILABLE, "later",
                                           details.SerializeAsString())))
                .retry_after;
  };
  CHECK(delay_of(INT64_MAX, INT32_MAX) == absl::Hours(1));
  CHECK(delay_of(INT64_MIN, INT32_MIN) == absl::ZeroDuration());
  CHECK(delay_of(0, 250'000'000) == absl::Milliseconds(250));
}

TEST_CASE("A code that is none becomes UNKNOWN") {
  CHECK(FromGrpc(grpc::Status(static_cast<grpc::StatusCode>(20), "x")).code() ==
        absl::StatusCode::kUnknown);
  CHECK(FromGrpc(grpc::Status(grpc::StatusCode::DO_NOT_USE, "x")).code() ==
        absl::StatusCode::kUnknown);
}

}  // namespace
}  // namespace histeq::rpc
