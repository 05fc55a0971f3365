#pragma once

// The Worker service: segments and small images in, fragments and finished files out.

#include <cstdint>
#include <functional>
#include <string>

#include "absl/time/time.h"
#include "base/cancel.h"
#include "base/watchdog.h"
#include "codec/limits.h"
#include "grpc_served_call.h"
#include "histeq/v1/worker.grpc.pb.h"
#include "mapping_cache.h"
#include "rpc/admission.h"
#include "slots.h"
#include "store/file_roots.h"
#include "work_threads.h"

namespace histeq::worker {

class GrpcWorkerService final : public v1::Worker::Service {
 public:
  struct Options {
    // A stream on which no message comes or goes for so long is ended.
    absl::Duration stall_timeout = absl::Seconds(30);
    // Calls of ReadFile at once, and those that wait.
    uint32_t max_file_reads = 64;
    uint32_t max_waiting_file_reads = 64;
    // Before the work on each segment; for tests.
    absl::Duration segment_delay;
  };

  // `describe` gives this worker's state, from any thread. The others outlive the service.
  GrpcWorkerService(Slots& slots, WorkThreads& threads, MappingCache& mappings,
                    const store::StorageRoots& storage, base::Watchdog& watchdog,
                    std::function<v1::WorkerInfo()> describe, const base::CancelToken& stop,
                    Options options);

  grpc::Status AnalyzeSegment(grpc::ServerContext* context,
                              grpc::ServerReader<v1::AnalyzeSegmentRequest>* stream,
                              v1::AnalyzeSegmentResponse* response) override;
  grpc::Status TransformSegment(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::TransformSegmentResponse, v1::TransformSegmentRequest>* stream)
      override;
  grpc::Status ProcessImage(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::ProcessImageResponse, v1::ProcessImageRequest>* stream) override;
  grpc::Status ReadFile(grpc::ServerContext* context, const v1::ReadFileRequest* request,
                        grpc::ServerWriter<v1::ReadFileResponse>* stream) override;
  grpc::Status GetStatus(grpc::ServerContext* context, const v1::WorkerGetStatusRequest* request,
                         v1::WorkerGetStatusResponse* response) override;

 private:
  // What the log says about a call, filled while it runs.
  struct Record {
    Work work;
    uint64_t bytes_in = 0;
    uint64_t bytes_out = 0;
  };

  absl::Status Analyze(ServedCall& call, grpc::ServerReader<v1::AnalyzeSegmentRequest>& stream,
                       v1::AnalyzeSegmentResponse& response, Record& record);
  absl::Status Transform(
      ServedCall& call,
      grpc::ServerReaderWriter<v1::TransformSegmentResponse, v1::TransformSegmentRequest>& stream,
      Record& record);
  absl::Status Process(
      ServedCall& call,
      grpc::ServerReaderWriter<v1::ProcessImageResponse, v1::ProcessImageRequest>& stream,
      Record& record);
  absl::Status ReadStored(ServedCall& call, const v1::ReadFileRequest& request,
                          grpc::ServerWriter<v1::ReadFileResponse>& stream, Record& record);
  // Process for an Inspect operation.
  absl::Status ProcessInspect(
      ServedCall& call,
      grpc::ServerReaderWriter<v1::ProcessImageResponse, v1::ProcessImageRequest>& stream,
      store::RootedFile file, const codec::DecodeLimits& limits, Record& record);
  // Runs `work`, logs how it ended.
  grpc::Status Serve(const char* what, grpc::ServerContext& context,
                     const std::function<absl::Status(ServedCall& call, Record& record)>& work);
  // A thread to compute on.
  absl::StatusOr<WorkThreads::Permit> EnterWork(const ServedCall& call);

  Slots& slots_;
  WorkThreads& threads_;
  MappingCache& mappings_;
  const store::StorageRoots& storage_;
  base::Watchdog& watchdog_;
  const std::function<v1::WorkerInfo()> describe_;
  const base::CancelToken stop_;
  const Options options_;
  CallWatch watch_;
  rpc::Admission file_reads_;
};

}  // namespace histeq::worker
