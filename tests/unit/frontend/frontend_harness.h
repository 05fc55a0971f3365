#pragma once

// A frontend in this process, with its real store in a temporary folder, behind a real port; and
// clients and coordinators that a test moves step by step.

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "grpc_frontend.h"
#include "grpcpp/channel.h"
#include "histeq/v1/frontend.grpc.pb.h"
#include "histeq/v1/job_queue.grpc.pb.h"
#include "rpc/server.h"

namespace histeq::testing {

constexpr std::chrono::seconds kPatience(60);

// "OK", "NOT_FOUND JOB_NOT_FOUND".
std::string Outcome(const grpc::Status& status);
// Of ErrorInfo, BadRequest and RetryInfo; empty where absent.
std::string MetadataOf(const grpc::Status& status, const std::string& key);
std::string FieldOf(const grpc::Status& status);
bool HasRetryDelay(const grpc::Status& status);

std::string TestFile(const std::string& name);
std::string Sha256Of(const std::string& bytes);
// A gray PNG of another depth: right up to its header.
std::string PngOfBits(uint8_t bits);
std::string NewId();
v1::Operation Equalize();

// Until `done` is true; false after kPatience. For what sends no event.
bool WaitUntil(const std::function<bool()>& done);

class Harness {
 public:
  explicit Harness(const std::function<void(frontend::FrontendOptions&)>& change = nullptr);
  ~Harness();

  // Ends and starts it again on the same data.
  void Restart();
  void Stop();
  frontend::Frontend& frontend() { return *frontend_; }
  rpc::Server& server() { return *server_; }
  const std::string& folder() const { return folder_; }
  // Files of blobs, whole or partial.
  std::vector<std::string> BlobFiles() const;

  // A stub with a connection of its own.
  std::unique_ptr<v1::Frontend::Stub> NewClient() const;
  v1::Frontend::Stub& client() { return *client_; }
  v1::JobQueue::Stub& queue() { return *queue_; }

  // Uploads whole; fails the test when that fails.
  v1::UploadImageResponse Upload(const std::string& file, const std::string& name = "moon.png",
                                 const v1::Operation* operation = nullptr);
  // Each time with other parameters: the same ones would be the same job.
  v1::UploadImageResponse UploadToEqualize() {
    v1::Operation operation = Equalize();
    operation.mutable_equalize()->set_nodata(uploads_++ % 256);
    return Upload(TestFile("moon.png"), "moon.png", &operation);
  }
  v1::Job GetJob(const std::string& job_id);
  bool AwaitState(const std::string& job_id, v1::JobState state);
  // Leases for "c"; fails the test when there is none.
  v1::LeaseJobResponse::Lease Lease(const std::string& coordinator = "c");
  grpc::Status TryLease(v1::LeaseJobResponse* response, const std::string& coordinator = "c",
                        int wait_ms = 0);
  std::string Download(const std::string& image_id);

 private:
  void Start();
  std::shared_ptr<grpc::Channel> NewChannel() const;

  uint32_t uploads_ = 0;
  std::string folder_;
  frontend::FrontendOptions options_;
  std::unique_ptr<frontend::Frontend> frontend_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<v1::Frontend::Stub> client_;
  std::unique_ptr<v1::JobQueue::Stub> queue_;
};

// One call with a deadline of kPatience.
template <typename Stub, typename Request, typename Response>
grpc::Status Call(Stub& stub,
                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  const Request& request, Response* response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  return (stub.*method)(&context, request, response);
}

// An UploadImage call.
class UploadCall {
 public:
  UploadCall(v1::Frontend::Stub& stub, const v1::UploadImageRequest::Header& header);
  ~UploadCall();
  bool Send(const v1::UploadImageRequest& message) { return writer_->Write(message); }
  bool SendChunk(uint64_t offset, const std::string& data);
  // All from `offset` on, in pieces; stops when the server has ended the call.
  void SendRest(const std::string& file, uint64_t offset = 0, size_t piece = 64 << 10);
  // Half-closes, and waits for the answer.
  grpc::Status Finish();
  // What the server said, without the end of the stream.
  grpc::Status FinishOpen();
  void Cancel() { context_.TryCancel(); }
  const v1::UploadImageResponse& response() const { return response_; }

 private:
  grpc::ClientContext context_;
  v1::UploadImageResponse response_;
  std::unique_ptr<grpc::ClientWriter<v1::UploadImageRequest>> writer_;
  bool finished_ = false;
};

v1::UploadImageRequest::Header HeaderOf(const std::string& name = "moon.png");

// A CompleteJob call.
class CompleteCall {
 public:
  CompleteCall(v1::JobQueue::Stub& stub, const std::string& job_id, uint64_t epoch);
  ~CompleteCall();
  bool SendChunk(uint64_t offset, const std::string& data);
  // The end of one of several results.
  bool EndResult(const std::string& file);
  // The finish for `file`, and the end.
  grpc::Status Finish(const std::string& file);
  grpc::Status Finish(const v1::CompleteJobRequest::Finish& finish);
  grpc::Status FinishOpen();
  const v1::CompleteJobResponse& response() const { return response_; }

 private:
  grpc::ClientContext context_;
  v1::CompleteJobResponse response_;
  std::unique_ptr<grpc::ClientWriter<v1::CompleteJobRequest>> writer_;
  bool finished_ = false;
};

// The whole of it.
grpc::Status CompleteWith(v1::JobQueue::Stub& stub, const v1::LeaseJobResponse::Lease& lease,
                          const std::string& file, v1::CompleteJobResponse* response = nullptr);

// A WatchJob call, read on a thread.
class WatchCall {
 public:
  WatchCall(v1::Frontend::Stub& stub, const v1::WatchJobRequest& request);
  ~WatchCall();

  struct Seen {
    std::vector<v1::WatchJobResponse> events;
    std::string bytes;
    std::optional<uint64_t> first_offset;
    std::optional<v1::Image> result;
    std::vector<v1::JobState> states;
    int pings = 0;
    bool damaged = false;
    std::optional<grpc::Status> status;
  };
  bool WaitFor(const std::function<bool(const Seen&)>& enough);
  // After the end of the stream.
  Seen End();
  void Cancel() { context_.TryCancel(); }

 private:
  void Read();

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchJobResponse>> reader_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Seen seen_;
  std::thread thread_;
};

v1::WatchJobRequest WatchOf(const std::string& job_id, bool send_result = false);

// A Heartbeat stream.
class HeartbeatCall {
 public:
  explicit HeartbeatCall(v1::JobQueue::Stub& stub);
  ~HeartbeatCall();
  // One request and its answer; false when the stream has ended.
  bool Beat(const v1::HeartbeatRequest& request, v1::HeartbeatResponse* response);
  grpc::Status Finish();

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::HeartbeatRequest, v1::HeartbeatResponse>> stream_;
  bool finished_ = false;
};

v1::HeartbeatRequest BeatOf(const std::string& coordinator);
void AddLease(v1::HeartbeatRequest& beat, const v1::LeaseJobResponse::Lease& lease,
              uint32_t segments_done = 0);

}  // namespace histeq::testing
