#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "histeq/v1/frontend.grpc.pb.h"
#include "wait.h"

namespace histeq::integration {

namespace v1 = histeq::v1;

// What travels with an error.
struct ErrorFacts {
  google::rpc::ErrorInfo info;
  std::optional<google::rpc::RetryInfo> retry;
  std::optional<google::rpc::BadRequest> bad_request;
};
ErrorFacts FactsOf(const grpc::Status& status);

// "INVALID_ARGUMENT NOT_AN_IMAGE", or "OK": what a test compares.
std::string Outcome(const grpc::Status& status);

std::string NewId();
v1::Operation EqualizeOperation();

// The messages of an upload: header, chunks from `offset` on with their CRC-32C.
std::vector<v1::UploadImageRequest> UploadMessages(const v1::UploadImageRequest::Header& header,
                                                   const std::string& file, uint64_t offset = 0,
                                                   size_t chunk_bytes = 256 * 1024);

// An UploadImage call in progress.
class Upload {
 public:
  Upload(v1::Frontend::Stub& frontend);
  bool Send(const v1::UploadImageRequest& message) { return writer_->Write(message); }
  // Half-closes and waits for the answer.
  grpc::Status Finish();
  // The client goes away.
  void Cancel() { context_.TryCancel(); }
  const v1::UploadImageResponse& response() const { return response_; }

 private:
  grpc::ClientContext context_;
  v1::UploadImageResponse response_;
  std::unique_ptr<grpc::ClientWriter<v1::UploadImageRequest>> writer_;
};

// What a WatchJob call has sent, collected on its own thread.
class Watch {
 public:
  struct Seen {
    std::vector<v1::JobState> states;
    std::vector<v1::JobProgress> progress;
    std::vector<std::chrono::steady_clock::time_point> pings;
    std::optional<v1::Job> job;
    std::optional<v1::Image> result;
    std::string bytes;
    // First offset of the chunks.
    std::optional<uint64_t> first_offset;
    // A chunk's CRC-32C or offset did not fit.
    bool damaged = false;
    // The stream's end.
    std::optional<grpc::Status> status;
  };

  Watch(v1::Frontend::Stub& frontend, const v1::WatchJobRequest& request);
  ~Watch();

  Seen Snapshot() const;
  // Waits until `enough(seen)`; false when the patience ran out first.
  bool WaitFor(const std::function<bool(const Seen&)>& enough,
               Milliseconds patience = kPatience) const;
  // Waits for the end of the stream, and gives all that was seen.
  Seen End(Milliseconds patience = kPatience) const;
  // The client goes away.
  void Cancel() { context_.TryCancel(); }

 private:
  void Read();

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchJobResponse>> reader_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Seen seen_;
  std::thread thread_;
};

// A frontend as a client sees it. Calls have a deadline; one that must not fail throws.
class FrontendClient {
 public:
  explicit FrontendClient(const std::string& address);

  v1::Frontend::Stub& calls() { return *frontend_; }

  // Sends all messages, half-closes.
  grpc::Status Send(const std::vector<v1::UploadImageRequest>& messages,
                    v1::UploadImageResponse* response = nullptr);
  // Uploads a file to be equalized; throws when that fails.
  v1::UploadImageResponse UploadToEqualize(const std::string& file, const std::string& name);
  // A job that equalizes a stored image, also when that was done before; throws when that fails.
  v1::Job EqualizeAnew(const std::string& image_id);
  // Uploads a file alone; throws when that fails.
  v1::Image UploadOnly(const std::string& file, const std::string& name);

  v1::Job GetJob(const std::string& job_id);
  // Waits until the job is final.
  v1::Job AwaitFinal(const std::string& job_id, Milliseconds patience = Seconds(180));
  // Waits until the job is in `state`, or final.
  v1::Job AwaitState(const std::string& job_id, v1::JobState state,
                     Milliseconds patience = kPatience);
  std::string DownloadImage(const std::string& image_id);
  v1::ListNodesResponse ListNodes();
  std::vector<v1::Image> ListImages();
  std::vector<v1::Job> ListJobs();
  // Waits until that many coordinators live and that many workers are attached to them in all.
  bool AwaitNodes(int coordinators, int workers);
  // Waits until the frontend answers.
  bool AwaitReachable();

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Frontend::Stub> frontend_;
};

// A deadline for a call of a test.
void SetDeadline(grpc::ClientContext& context, Milliseconds patience = kPatience);

}  // namespace histeq::integration
