#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "histeq/v1/frontend.grpc.pb.h"
#include "rpc/server.h"

namespace histeq::client {

// Set by a test while a server's threads look at it.
template <typename Value>
class Knob {
 public:
  Knob() = default;
  explicit Knob(Value value) : value_(std::move(value)) {}
  void operator=(Value value) {
    std::lock_guard lock(mutex_);
    value_ = std::move(value);
  }
  Value get() const {
    std::lock_guard lock(mutex_);
    return value_;
  }

 private:
  mutable std::mutex mutex_;
  Value value_ = {};
};

// A frontend in memory that does what a test tells it to: it keeps the contract, except where a
// fault is planned. Its jobs reverse the bytes of the image. Thread-safe.
class FakeFrontend final : public v1::Frontend::Service {
 public:
  FakeFrontend();
  ~FakeFrontend() override;

  // The server goes away, as by kill -9, and comes back at the same address with the same state.
  void StopServer();
  void StartServer();
  std::string address() const;

  // One thing that goes wrong once, in the next call of the RPC that it is planned for.
  struct Fault {
    // After so many bytes of the stream (uploads: received; watches and downloads: sent)...
    uint64_t after_bytes = 0;
    // ...the call ends with this. Of a unary call: instead of an answer.
    absl::Status status = {};
    // Uploads: only this many of the received bytes are kept; absent: all.
    std::optional<uint64_t> keep_bytes = {};
    // Watches, downloads: a chunk with a wrong checksum, or a wrong offset.
    bool corrupt_chunk = false;
    bool wrong_offset = false;
    // The call has its effect, but the status is answered.
    bool after_effect = false;
    // Nothing more is sent until the client cancels.
    bool hang = false;
    // Run when the fault happens.
    std::function<void()> then = {};
  };
  void Plan(const std::string& rpc, Fault fault);
  // Calls of an RPC so far.
  int calls(const std::string& rpc);
  // Waits until an RPC was called so often; false when it was not within a minute.
  bool AwaitCalls(const std::string& rpc, int count);

  // Puts an image in place of an upload.
  v1::Image AddImage(const std::string& name, const std::string& bytes);
  std::string BytesOf(const std::string& image_id);
  // Rows of the lists as they are, newest last.
  std::vector<v1::Image> images();
  std::vector<v1::Job> jobs();

  // Jobs stay QUEUED until released.
  void HoldJobs();
  void ReleaseJobs();
  // The next jobs fail with this.
  void FailJobs(const v1::JobError& error);
  // Applied to each image and job in an answer: hostile values.
  Knob<std::function<void(v1::Image&)>> twist_image;
  Knob<std::function<void(v1::Job&)>> twist_job;
  // Added to the answer of GetImage: what was made of the image.
  Knob<std::function<void(v1::GetImageResponse&)>> describe_image;
  // CreateJob requests that asked for a refresh.
  std::atomic<int> refreshes = 0;
  // As ListNodes says.
  std::atomic<uint32_t> workers_omitted = 0;
  // Chunks of downloads.
  size_t chunk_bytes = 1000;
  // Pages of lists never have more; the tokens then lead round and round when `endless`.
  std::atomic<size_t> page_size = 1000;
  std::atomic<bool> endless_pages = false;

  grpc::Status UploadImage(grpc::ServerContext*, grpc::ServerReader<v1::UploadImageRequest>*,
                           v1::UploadImageResponse*) override;
  grpc::Status GetUpload(grpc::ServerContext*, const v1::GetUploadRequest*,
                         v1::GetUploadResponse*) override;
  grpc::Status GetImage(grpc::ServerContext*, const v1::GetImageRequest*,
                        v1::GetImageResponse*) override;
  grpc::Status ListImages(grpc::ServerContext*, const v1::ListImagesRequest*,
                          v1::ListImagesResponse*) override;
  grpc::Status DeleteImage(grpc::ServerContext*, const v1::DeleteImageRequest*,
                           v1::DeleteImageResponse*) override;
  grpc::Status DownloadImage(grpc::ServerContext*, const v1::DownloadImageRequest*,
                             grpc::ServerWriter<v1::DownloadImageResponse>*) override;
  grpc::Status GetHistogram(grpc::ServerContext*, const v1::GetHistogramRequest*,
                            v1::GetHistogramResponse*) override;
  grpc::Status CreateJob(grpc::ServerContext*, const v1::CreateJobRequest*,
                         v1::CreateJobResponse*) override;
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest*, v1::GetJobResponse*) override;
  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest*,
                        v1::ListJobsResponse*) override;
  grpc::Status CancelJob(grpc::ServerContext*, const v1::CancelJobRequest*,
                         v1::CancelJobResponse*) override;
  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest*,
                        grpc::ServerWriter<v1::WatchJobResponse>*) override;
  grpc::Status ListNodes(grpc::ServerContext*, const v1::ListNodesRequest*,
                         v1::ListNodesResponse*) override;
  grpc::Status RegisterCoordinator(grpc::ServerContext*, const v1::RegisterCoordinatorRequest*,
                                   v1::RegisterCoordinatorResponse*) override;
  grpc::Status RemoveCoordinator(grpc::ServerContext*, const v1::RemoveCoordinatorRequest*,
                                 v1::RemoveCoordinatorResponse*) override;

 private:
  struct Partial {
    v1::UploadImageRequest::Header header;
    std::string bytes;
    // Set when finished.
    std::string image_id;
    std::string job_id;
  };

  std::optional<Fault> NextFault(const std::string& rpc);
  // For the faults of unary calls: OK to go on.
  grpc::Status Meet(const std::string& rpc, grpc::ServerContext* context, bool* after_effect);
  grpc::Status SendBytes(const std::string& bytes, uint64_t offset, uint64_t end,
                         const std::optional<Fault>& fault, grpc::ServerContext* context,
                         const std::function<bool(v1::Chunk)>& send);
  void Hang(grpc::ServerContext* context);
  v1::Image Store(const std::string& name, const std::string& bytes);
  v1::Job Queue(const v1::Image& image, const v1::Operation& operation);
  void Settle();
  v1::Job Shown(v1::Job job) const;
  v1::Image Shown(v1::Image image) const;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::deque<Fault>> faults_;
  std::map<std::string, int> calls_;
  std::vector<v1::Image> images_;
  std::map<std::string, std::string> bytes_;
  std::map<std::string, Partial> uploads_;
  std::map<std::string, std::string> requests_;
  std::vector<v1::Job> jobs_;
  std::vector<v1::CoordinatorInfo> coordinators_;
  bool hold_ = false;
  std::optional<v1::JobError> job_error_;
  std::unique_ptr<rpc::Server> server_;
  int port_ = 0;
};

}  // namespace histeq::client
