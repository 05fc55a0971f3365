#include "rpc/status.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/time/time.h"
#include "base/error.h"
#include "google/rpc/error_details.pb.h"
#include "rpc/proto_convert.h"
#include "text.h"

namespace histeq::rpc {
namespace {

constexpr char kDomain[] = "histeq";

// The trailers are refused as a whole by a peer whose metadata limit (usually 8 KiB) they exceed,
// and the caller then learns nothing. The message travels percent-encoded, the details in base64;
// these bounds keep both together below 8 KiB: 4 KiB, and 4/3 of 2 KiB.
constexpr size_t kMaxEncodedMessageBytes = 4096;
constexpr size_t kMaxDetailBytes = 2048;
constexpr size_t kMaxValueBytes = 512;
constexpr size_t kMaxNameBytes = 128;
constexpr absl::Duration kMaxRetryDelay = absl::Hours(1);

// Bytes of `text` after the percent-encoding of grpc-message.
size_t EncodedBytes(std::string_view text) {
  size_t bytes = 0;
  for (const char c : text) bytes += c >= 0x20 && c <= 0x7E && c != '%' ? 1 : 3;
  return bytes;
}

std::string CutMessage(std::string_view message) {
  std::string cut = ValidUtf8(message, kMaxEncodedMessageBytes);
  // Three bytes for each at worst: what is over, thirded, is surely there to be taken.
  while (EncodedBytes(cut) > kMaxEncodedMessageBytes) {
    const size_t over = EncodedBytes(cut) - kMaxEncodedMessageBytes;
    cut = ValidUtf8(message, cut.size() - (over + 2) / 3);
  }
  return cut;
}

void Pack(const google::protobuf::Message& detail, google::rpc::Status& status) {
  status.add_details()->PackFrom(detail);
}

std::string DetailsOf(absl::StatusCode code, const std::string& message,
                      const base::ErrorDetail& detail) {
  google::rpc::Status status;
  status.set_code(static_cast<int>(code));

  if (detail.retry_after.has_value()) {
    google::rpc::RetryInfo retry;
    *retry.mutable_retry_delay() =
        ToProto(std::clamp(*detail.retry_after, absl::ZeroDuration(), kMaxRetryDelay));
    Pack(retry, status);
  }
  if (!detail.field.empty()) {
    google::rpc::BadRequest bad_request;
    auto& violation = *bad_request.add_field_violations();
    violation.set_field(ValidUtf8(detail.field, kMaxValueBytes));
    violation.set_description(ValidUtf8(message, kMaxValueBytes / 2));
    Pack(bad_request, status);
  }

  google::rpc::ErrorInfo info;
  info.set_domain(kDomain);
  info.set_reason(detail.reason.empty() ? absl::StatusCodeToString(code)
                                        : ValidUtf8(detail.reason, kMaxNameBytes));
  // Both are bounded, so what is there up to now fits; then facts while there is room, then as much
  // of the message as is left.
  constexpr size_t kAnyOverhead = 64;
  constexpr size_t kEntryOverhead = 12;
  size_t used = status.ByteSizeLong() + info.ByteSizeLong() + kAnyOverhead;
  for (const auto& [key, value] : detail.metadata) {
    const std::string name = ValidUtf8(key, kMaxNameBytes);
    const std::string text = ValidUtf8(value, kMaxValueBytes);
    const size_t bytes = name.size() + text.size() + kEntryOverhead;
    if (used + bytes > kMaxDetailBytes) continue;
    used += bytes;
    (*info.mutable_metadata())[name] = text;
  }
  // First, where programs look.
  google::rpc::Status ordered;
  ordered.set_code(status.code());
  Pack(info, ordered);
  for (auto& other : *status.mutable_details()) *ordered.add_details() = std::move(other);
  ordered.set_message(ValidUtf8(message, kMaxDetailBytes - std::min(used, kMaxDetailBytes)));
  return ordered.SerializeAsString();
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const std::string message =
      CutMessage({status.message().data(), static_cast<size_t>(status.message().size())});
  const base::ErrorDetail detail = base::GetErrorDetail(status).value_or(base::ErrorDetail());
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      DetailsOf(status.code(), message, detail));
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  // Any number may have come over the wire.
  absl::StatusCode code = absl::StatusCode::kUnknown;
  if (status.error_code() >= grpc::StatusCode::CANCELLED &&
      status.error_code() <= grpc::StatusCode::UNAUTHENTICATED) {
    code = static_cast<absl::StatusCode>(status.error_code());
  }
  google::rpc::Status details;
  if (status.error_details().empty() || !details.ParseFromString(status.error_details())) {
    return absl::Status(code, status.error_message());
  }
  base::ErrorDetail detail;
  bool found = false;
  for (const google::protobuf::Any& any : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    google::rpc::BadRequest bad_request;
    if (any.Is<google::rpc::ErrorInfo>()) {
      if (!any.UnpackTo(&info) || info.domain() != kDomain) continue;
      detail.reason = info.reason();
      for (const auto& [key, value] : info.metadata()) detail.metadata[key] = value;
      found = true;
    } else if (any.Is<google::rpc::RetryInfo>()) {
      if (!any.UnpackTo(&retry)) continue;
      detail.retry_after =
          std::clamp(FromProto(retry.retry_delay()), absl::ZeroDuration(), kMaxRetryDelay);
      found = true;
    } else if (any.Is<google::rpc::BadRequest>()) {
      if (!any.UnpackTo(&bad_request) || bad_request.field_violations().empty()) continue;
      detail.field = bad_request.field_violations(0).field();
      found = true;
    }
  }
  if (!found) return absl::Status(code, status.error_message());
  return base::MakeError(code, status.error_message(), std::move(detail));
}

}  // namespace histeq::rpc
