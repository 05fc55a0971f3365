#pragma once

// The frontend as a C++ program uses it. Uploads, downloads and the watching of jobs stand in
// upload.h, download.h and watch.h.

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/options.h"
#include "histeq/v1/frontend.pb.h"

namespace histeq::client {

struct Connection;

// A connection to one frontend; connects when first used, and again after losses. Thread-safe: any
// number of calls at once. Every call is made again after a lost connection, as often as it takes,
// until the server was silent for ClientOptions::give_up_after; none has an effect twice.
//
// Errors of every call: what the server answered (docs/errors.md, the reason in
// base::GetErrorDetail), the token's status, or UNAVAILABLE SERVER_UNREACHABLE (IsUnreachable).
class Client {
 public:
  // - INVALID_ARGUMENT INVALID_ADDRESS.
  static absl::StatusOr<std::unique_ptr<Client>> Create(ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const ClientOptions& options() const;

  absl::StatusOr<v1::Image> GetImage(const std::string& image_id, const CallControl& control);
  // The image's state and all that is made of it.
  absl::StatusOr<v1::GetImageResponse> QueryImage(const std::string& image_id,
                                                  const CallControl& control);
  absl::Status DeleteImage(const std::string& image_id, const CallControl& control);
  // Makes a file known as an image, however often the answer is lost on the way.
  absl::StatusOr<v1::RegisterImageResponse> RegisterImage(const v1::RegisterImageRequest& request,
                                                          const CallControl& control);
  // May take as long as it takes to count a large image.
  absl::StatusOr<v1::ImageStatistics> GetHistogram(const std::string& image_id,
                                                   const CallControl& control);

  // Queues one job, however often the answer is lost on the way; or the one that makes the same, or
  // has made it. `refresh`: make it anew.
  absl::StatusOr<v1::Job> CreateJob(const std::string& image_id, const v1::Operation& operation,
                                    bool refresh, const CallControl& control);
  absl::StatusOr<v1::Job> GetJob(const std::string& job_id, const CallControl& control);
  absl::StatusOr<v1::Job> CancelJob(const std::string& job_id, const CallControl& control);

  // Newest first, page by page, at most `limit` of them (0: all); page_size and page_token of
  // `filter` are not used. Ends early when `take` fails, with its status.
  absl::Status ListImages(v1::ListImagesRequest filter, uint64_t limit,
                          const std::function<absl::Status(const v1::Image&)>& take,
                          const CallControl& control);
  absl::Status ListJobs(v1::ListJobsRequest filter, uint64_t limit,
                        const std::function<absl::Status(const v1::Job&)>& take,
                        const CallControl& control);

  absl::StatusOr<v1::ListNodesResponse> ListNodes(const CallControl& control);
  absl::Status RegisterCoordinator(const std::string& name, const std::string& address,
                                   const CallControl& control);
  absl::Status RemoveCoordinator(const std::string& name, const CallControl& control);

  // For the other files of this library.
  Connection& connection() { return *connection_; }

 private:
  explicit Client(ClientOptions options);
  const std::unique_ptr<Connection> connection_;
};

// Whether a call failed because the server could not be reached.
bool IsUnreachable(const absl::Status& status);

// Whether `address` names a server: host:port, [v6]:port, unix:path or dns:///name:port.
// - INVALID_ARGUMENT INVALID_ADDRESS.
absl::Status CheckAddress(const std::string& address);

}  // namespace histeq::client
