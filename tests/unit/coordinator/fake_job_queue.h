#pragma once

// A frontend's JobQueue service in this process, without a catalog, with the failures that a test
// wants.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "grpcpp/server.h"
#include "histeq/v1/job_queue.grpc.pb.h"

namespace histeq::testing {

// Listens on a loopback port as long as it is started. Jobs are given out in the order of AddJob.
// Thread-safe.
class FakeJobQueue final : private v1::JobQueue::Service {
 public:
  struct JobRecord {
    std::string id;
    std::string name;
    std::string source;
    // The reference image of the job; empty: it has none.
    std::string reference;
    std::optional<v1::ImageStatistics> reference_statistics;
    v1::Operation operation;
    // Sent with the lease; empty: the source's own SHA-256.
    std::string announced_sha256;
    // The same for the reference image.
    std::string announced_reference_sha256;

    // Of the image; empty: a blob. The file's time, sent unless the operation is Inspect.
    std::string location;
    std::optional<google::protobuf::Timestamp> modify_time;

    v1::JobState state = v1::JOB_STATE_QUEUED;
    uint64_t epoch = 0;
    std::string result;
    // Of a job that has several.
    std::vector<std::string> results;
    std::optional<v1::ImageStatistics> statistics;
    std::optional<v1::InspectedFile> inspected;
    // Results accepted; more than one is an error of the coordinator or of this fake.
    int completions = 0;
    std::vector<v1::FailJobRequest> failures;
    // CompleteJob calls begun, ReadSource calls with their offsets.
    int complete_calls = 0;
    std::vector<uint64_t> source_offsets;
    std::vector<uint64_t> reference_offsets;
    v1::JobProgress progress;
  };

  // What goes wrong. Counts go down by one each time that it did.
  struct Script {
    // Sources up to this size come with their leases, when the coordinator asks for that.
    uint64_t inline_source_bytes = 0;
    // One bit of such a source is turned after its checksum was made.
    int corrupt_inline_source = 0;
    // ReadSource breaks with `source_error` after so many bytes of the stream.
    int break_source = 0;
    uint64_t break_source_after = 0;
    grpc::Status source_error{grpc::StatusCode::UNAVAILABLE, "broken by the test"};
    // ReadSource ends with OK after `break_source_after` bytes.
    int end_source_early = 0;
    // ReadSource gives no byte from this offset of the file on: it fails with `source_error`, or
    // ends when that is OK.
    uint64_t source_damaged_at = UINT64_MAX;
    // One bit of a chunk is turned after its checksum was made.
    int corrupt_source = 0;
    // CompleteJob breaks with `complete_error` after so many bytes.
    int break_complete = 0;
    uint64_t break_complete_after = 0;
    grpc::Status complete_error{grpc::StatusCode::UNAVAILABLE, "broken by the test"};
    // CompleteJob accepts the result, and its answer is lost.
    int lose_complete_answer = 0;
    // FailJob fails without effect.
    int break_fail = 0;
    // ReadSource waits, after the first chunk, until this is false again.
    bool hold_source = false;
    // CompleteJob waits after the header until this is false again.
    bool hold_complete = false;
    // Heartbeats are answered with this.
    grpc::Status heartbeat_error;
    // Heartbeat streams are read and not answered.
    bool mute_heartbeat = false;
    // The verdict on a job, in place of RENEWED.
    std::map<std::string, v1::HeartbeatResponse::LeaseAnswer::Verdict> verdicts;
  };

  FakeJobQueue() = default;
  ~FakeJobQueue() override { Stop(); }

  // Listens; on the port of the time before when there was one.
  void Start();
  // Ends all calls and stops listening; jobs stay.
  void Stop();
  // "127.0.0.1:PORT".
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  void AddJob(const std::string& id, const std::string& source, const v1::Operation& operation,
              const std::string& announced_sha256 = "");
  void AddJob(JobRecord job);
  // The frontend gives the job to somebody else.
  void TakeAway(const std::string& id);

  void Change(const std::function<void(Script&)>& change);
  void SetTimes(absl::Duration interval, absl::Duration ttl);
  JobRecord job(const std::string& id);
  std::vector<v1::HeartbeatRequest> heartbeats();

  // Waits up to `timeout` until `done` (called with the lock held) is true. Its last value.
  bool WaitFor(const std::function<bool(FakeJobQueue&)>& done,
               absl::Duration timeout = absl::Seconds(30));
  bool WaitForState(const std::string& id, v1::JobState state,
                    absl::Duration timeout = absl::Seconds(30));
  bool WaitForFailure(const std::string& id, absl::Duration timeout = absl::Seconds(30));

  // With the lock held, for WaitFor.
  JobRecord& record(const std::string& id) { return jobs_.at(id); }
  std::vector<v1::HeartbeatRequest>& heard() { return heartbeats_; }

 private:
  grpc::Status Heartbeat(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::HeartbeatResponse, v1::HeartbeatRequest>* stream) override;
  grpc::Status LeaseJob(grpc::ServerContext* context, const v1::LeaseJobRequest* request,
                        v1::LeaseJobResponse* response) override;
  grpc::Status ReadSource(grpc::ServerContext* context, const v1::ReadSourceRequest* request,
                          grpc::ServerWriter<v1::ReadSourceResponse>* writer) override;
  grpc::Status CompleteJob(grpc::ServerContext* context,
                           grpc::ServerReader<v1::CompleteJobRequest>* reader,
                           v1::CompleteJobResponse* response) override;
  grpc::Status FailJob(grpc::ServerContext* context, const v1::FailJobRequest* request,
                       v1::FailJobResponse* response) override;

  // With the lock held. Null and `status` set when the lease is not the current one.
  JobRecord* Current(const std::string& id, uint64_t epoch, grpc::Status& status);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, JobRecord> jobs_;
  std::vector<std::string> order_;
  std::vector<v1::HeartbeatRequest> heartbeats_;
  Script script_;
  absl::Duration interval_ = absl::Milliseconds(200);
  absl::Duration ttl_ = absl::Seconds(30);
  bool stopping_ = false;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// SHA-256 of `bytes`, 32 bytes.
std::string Sha256Of(const std::string& bytes);

}  // namespace histeq::testing
