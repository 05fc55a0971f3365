#include "api/patience.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

constexpr char kUnreachable[] = "SERVER_UNREACHABLE";

absl::Duration Now() { return base::SystemClock().Monotonic(); }

rpc::BackoffOptions Pauses(const ClientOptions& options) {
  rpc::BackoffOptions pauses;
  // Several tries fit into a short patience too.
  pauses.longest =
      std::max(absl::Milliseconds(20), std::min(options.longest_pause, options.give_up_after / 5));
  pauses.first = std::min(pauses.first, pauses.longest);
  return pauses;
}

}  // namespace

bool IsConnectionLoss(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    // A server that ends cancels its calls.
    case absl::StatusCode::kCancelled:
      return true;
    // What gRPC says when a stream is torn off. The server's own errors have a reason.
    case absl::StatusCode::kUnknown:
      return !base::GetErrorDetail(status).has_value();
    case absl::StatusCode::kInternal:
      return absl::StrContains(status.message(), "RST_STREAM with");
    default:
      return false;
  }
}

bool IsUnreachable(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  return detail.has_value() && detail->reason == kUnreachable;
}

Patience::Patience(const ClientOptions& options, const CallControl& control)
    : options_(options),
      control_(control),
      backoff_(Pauses(options)),
      last_contact_(Now()),
      last_progress_(last_contact_) {}

void Patience::Contact() { last_contact_ = Now(); }

void Patience::Progress() {
  last_contact_ = last_progress_ = Now();
  failures_ = 0;
  backoff_.Reset();
}

absl::Duration Patience::remaining() const {
  return std::max(absl::Milliseconds(10), last_contact_ + options_.give_up_after - Now());
}

absl::Status Patience::Again(const absl::Status& failure) {
  HISTEQ_RETURN_IF_ERROR(control_.token.Check());
  const bool loss = IsConnectionLoss(failure);
  if (!loss) {
    if (!rpc::IsRetryable(failure)) return failure;
    Contact();
  }
  const absl::Duration now = Now();
  if (loss && now - last_contact_ >= options_.give_up_after) {
    return base::MakeError(
        absl::StatusCode::kUnavailable,
        fmt::format("{}: no answer for {}: {}", options_.server,
                    absl::FormatDuration(options_.give_up_after), std::string(failure.message())),
        {.reason = kUnreachable, .metadata = {{"server", options_.server}}});
  }
  if (!loss && now - last_progress_ >= options_.busy_give_up_after) return failure;
  if (++failures_ == 2) {
    control_.Notice(
        loss ? fmt::format("{} cannot be reached; trying again for up to {}", options_.server,
                           absl::FormatDuration(options_.give_up_after))
             : fmt::format("the server is busy; trying again: {}", std::string(failure.message())));
  }
  absl::Duration at_least = absl::ZeroDuration();
  if (const auto detail = base::GetErrorDetail(failure)) {
    at_least = std::min(detail->retry_after.value_or(at_least), options_.busy_give_up_after);
  }
  return backoff_.Wait(control_.token, at_least);
}

}  // namespace histeq::client
