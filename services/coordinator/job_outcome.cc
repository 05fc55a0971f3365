#include "job_outcome.h"

#include <string>

#include "base/error.h"

namespace histeq::coordinator {
namespace {

// Where the file lies is not there now.
bool IsPlaceMissing(const absl::Status& status) {
  const std::string reason = base::ReasonOf(status);
  return reason == "STORAGE_GONE" || reason == "ROOT_MISSING";
}

}  // namespace

std::string_view OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kRetry:
      return "retry";
    case Outcome::kPermanent:
      return "permanent";
    case Outcome::kHandBack:
      return "hand_back";
    case Outcome::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

Outcome ClassifyFailure(const absl::Status& status) {
  // Not this attempt's fault: the job waits until the storage is back.
  if (IsPlaceMissing(status)) return Outcome::kHandBack;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kNotFound:
      return Outcome::kPermanent;
    default:
      return Outcome::kRetry;
  }
}

bool IsLeaseGone(const absl::Status& status) {
  return status.code() == absl::StatusCode::kFailedPrecondition ||
         status.code() == absl::StatusCode::kPermissionDenied ||
         status.code() == absl::StatusCode::kNotFound;
}

bool IsWorthRepeating(const absl::Status& status) {
  if (IsPlaceMissing(status)) return false;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDataLoss:
      return true;
    default:
      return false;
  }
}

bool IsPassing(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
      return true;
    case absl::StatusCode::kResourceExhausted:
      return AskedPause(status) > absl::ZeroDuration();
    default:
      return false;
  }
}

absl::Duration AskedPause(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  return detail.has_value() ? detail->retry_after.value_or(absl::ZeroDuration())
                            : absl::ZeroDuration();
}

}  // namespace histeq::coordinator
