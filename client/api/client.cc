#include "api/client.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "api/connection.h"
#include "api/random_id.h"
#include "api/unary_call.h"
#include "base/error.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

using Frontend = v1::Frontend::StubInterface;

constexpr uint32_t kPageSize = 100;
// Counting the largest image that a server takes.
constexpr absl::Duration kHistogramTimeout = absl::Minutes(10);

absl::Status BadAnswer(const std::string& what) {
  return base::MakeError(absl::StatusCode::kInternal, "the server's answer makes no sense: " + what,
                         {.reason = "BAD_ANSWER"});
}

// All pages of a list. `items` takes the repeated field out of an answer.
template <typename Request, typename Response, typename Items, typename Take>
absl::Status ForEachPage(Connection& connection, UnaryMethod<Request, Response> method,
                         Request request, uint64_t limit, const Items& items, const Take& take,
                         const CallControl& control) {
  request.clear_page_token();
  uint32_t page_size = kPageSize;
  uint64_t left = limit == 0 ? UINT64_MAX : limit;
  std::set<std::string> seen;
  while (left > 0) {
    request.set_page_size(static_cast<uint32_t>(std::min<uint64_t>(page_size, left)));
    const absl::StatusOr<Response> page =
        CallUntilAnswered(connection, method, request, control, connection.options.stall_timeout);
    // Entries with large histograms in them: too many for one message.
    if (page.status().code() == absl::StatusCode::kResourceExhausted &&
        !base::GetErrorDetail(page.status()).has_value() && page_size > 1) {
      page_size /= 4;
      if (page_size == 0) page_size = 1;
      continue;
    }
    HISTEQ_RETURN_IF_ERROR(page.status());
    for (const auto& item : items(*page)) {
      if (left-- == 0) return absl::OkStatus();
      HISTEQ_RETURN_IF_ERROR(take(item));
      if (left == 0) return absl::OkStatus();
    }
    if (page->next_page_token().empty()) return absl::OkStatus();
    if (!seen.insert(page->next_page_token()).second) return BadAnswer("its pages go in circles");
    request.set_page_token(page->next_page_token());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckAddress(const std::string& address) {
  const auto invalid = [&] {
    return base::MakeError(
        absl::StatusCode::kInvalidArgument,
        fmt::format("\"{}\" is no server address: host:port or unix:path is wanted", address),
        {.reason = "INVALID_ADDRESS"});
  };
  if (absl::StartsWith(address, "unix:")) {
    return address.size() > 5 ? absl::OkStatus() : invalid();
  }
  std::string rest = address;
  if (absl::StartsWith(rest, "dns:")) {
    const size_t slash = rest.rfind('/');
    rest = rest.substr(slash == std::string::npos ? 4 : slash + 1);
  }
  const size_t colon = rest.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || colon == 0 || rest.find('/') != std::string::npos ||
      rest.find_first_not_of("0123456789", colon + 1) != std::string::npos ||
      !absl::SimpleAtoi(rest.substr(colon + 1), &port) || port == 0 || port > 65535) {
    return invalid();
  }
  // An IPv6 address needs brackets, or its last group would be taken for the port.
  if (rest.find(':') != colon && rest.front() != '[') return invalid();
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Client>> Client::Create(ClientOptions options) {
  HISTEQ_RETURN_IF_ERROR(CheckAddress(options.server));
  return std::unique_ptr<Client>(new Client(std::move(options)));
}

Client::Client(ClientOptions options)
    : connection_(std::make_unique<Connection>(std::move(options))) {}
Client::~Client() = default;

const ClientOptions& Client::options() const { return connection_->options; }

absl::StatusOr<v1::GetImageResponse> Client::QueryImage(const std::string& image_id,
                                                        const CallControl& control) {
  v1::GetImageRequest request;
  request.set_image_id(image_id);
  return CallUntilAnswered<v1::GetImageRequest, v1::GetImageResponse>(
      *connection_, &Frontend::GetImage, request, control, options().stall_timeout);
}

absl::StatusOr<v1::Image> Client::GetImage(const std::string& image_id,
                                           const CallControl& control) {
  HISTEQ_ASSIGN_OR_RETURN(v1::GetImageResponse response, QueryImage(image_id, control));
  return std::move(*response.mutable_image());
}

absl::Status Client::DeleteImage(const std::string& image_id, const CallControl& control) {
  v1::DeleteImageRequest request;
  request.set_image_id(image_id);
  bool lost = false;
  const absl::Status status =
      CallUntilAnswered<v1::DeleteImageRequest, v1::DeleteImageResponse>(
          *connection_, &Frontend::DeleteImage, request, control, options().stall_timeout, &lost)
          .status();
  // A try whose answer was lost may have deleted it.
  if (lost && absl::IsNotFound(status)) return absl::OkStatus();
  return status;
}

absl::StatusOr<v1::ImageStatistics> Client::GetHistogram(const std::string& image_id,
                                                         const CallControl& control) {
  v1::GetHistogramRequest request;
  request.set_image_id(image_id);
  HISTEQ_ASSIGN_OR_RETURN(v1::GetHistogramResponse response,
                          (CallUntilAnswered<v1::GetHistogramRequest, v1::GetHistogramResponse>(
                              *connection_, &Frontend::GetHistogram, request, control,
                              std::max(kHistogramTimeout, options().stall_timeout))));
  return std::move(*response.mutable_statistics());
}

absl::StatusOr<v1::Job> Client::CreateJob(const std::string& image_id,
                                          const v1::Operation& operation, bool refresh,
                                          const CallControl& control) {
  v1::CreateJobRequest request;
  request.set_request_id(RandomId());
  request.set_image_id(image_id);
  *request.mutable_operation() = operation;
  request.set_refresh(refresh);
  HISTEQ_ASSIGN_OR_RETURN(
      v1::CreateJobResponse response,
      (CallUntilAnswered<v1::CreateJobRequest, v1::CreateJobResponse>(
          *connection_, &Frontend::CreateJob, request, control, options().stall_timeout)));
  return std::move(*response.mutable_job());
}

absl::StatusOr<v1::RegisterImageResponse> Client::RegisterImage(
    const v1::RegisterImageRequest& request, const CallControl& control) {
  return CallUntilAnswered<v1::RegisterImageRequest, v1::RegisterImageResponse>(
      *connection_, &Frontend::RegisterImage, request, control, options().stall_timeout);
}

absl::StatusOr<v1::Job> Client::GetJob(const std::string& job_id, const CallControl& control) {
  v1::GetJobRequest request;
  request.set_job_id(job_id);
  HISTEQ_ASSIGN_OR_RETURN(
      v1::GetJobResponse response,
      (CallUntilAnswered<v1::GetJobRequest, v1::GetJobResponse>(
          *connection_, &Frontend::GetJob, request, control, options().stall_timeout)));
  return std::move(*response.mutable_job());
}

absl::StatusOr<v1::Job> Client::CancelJob(const std::string& job_id, const CallControl& control) {
  v1::CancelJobRequest request;
  request.set_job_id(job_id);
  HISTEQ_ASSIGN_OR_RETURN(
      v1::CancelJobResponse response,
      (CallUntilAnswered<v1::CancelJobRequest, v1::CancelJobResponse>(
          *connection_, &Frontend::CancelJob, request, control, options().stall_timeout)));
  return std::move(*response.mutable_job());
}

absl::Status Client::ListImages(v1::ListImagesRequest filter, uint64_t limit,
                                const std::function<absl::Status(const v1::Image&)>& take,
                                const CallControl& control) {
  return ForEachPage<v1::ListImagesRequest, v1::ListImagesResponse>(
      *connection_, &Frontend::ListImages, std::move(filter), limit,
      [](const v1::ListImagesResponse& page) -> const auto& { return page.images(); }, take,
      control);
}

absl::Status Client::ListJobs(v1::ListJobsRequest filter, uint64_t limit,
                              const std::function<absl::Status(const v1::Job&)>& take,
                              const CallControl& control) {
  return ForEachPage<v1::ListJobsRequest, v1::ListJobsResponse>(
      *connection_, &Frontend::ListJobs, std::move(filter), limit,
      [](const v1::ListJobsResponse& page) -> const auto& { return page.jobs(); }, take, control);
}

absl::StatusOr<v1::ListNodesResponse> Client::ListNodes(const CallControl& control) {
  return CallUntilAnswered<v1::ListNodesRequest, v1::ListNodesResponse>(
      *connection_, &Frontend::ListNodes, {}, control, options().stall_timeout);
}

absl::Status Client::RegisterCoordinator(const std::string& name, const std::string& address,
                                         const CallControl& control) {
  v1::RegisterCoordinatorRequest request;
  request.set_name(name);
  request.set_address(address);
  return CallUntilAnswered<v1::RegisterCoordinatorRequest, v1::RegisterCoordinatorResponse>(
             *connection_, &Frontend::RegisterCoordinator, request, control,
             options().stall_timeout)
      .status();
}

absl::Status Client::RemoveCoordinator(const std::string& name, const CallControl& control) {
  v1::RemoveCoordinatorRequest request;
  request.set_name(name);
  bool lost = false;
  const absl::Status status =
      CallUntilAnswered<v1::RemoveCoordinatorRequest, v1::RemoveCoordinatorResponse>(
          *connection_, &Frontend::RemoveCoordinator, request, control, options().stall_timeout,
          &lost)
          .status();
  if (lost && absl::IsNotFound(status)) return absl::OkStatus();
  return status;
}

}  // namespace histeq::client
