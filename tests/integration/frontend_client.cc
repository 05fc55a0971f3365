#include "frontend_client.h"

#include <grpcpp/create_channel.h>

#include <algorithm>
#include <random>
#include <stdexcept>

#include "files.h"

namespace histeq::integration {
namespace {

bool IsFinal(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED ||
         state == v1::JOB_STATE_CANCELLED;
}

void ThrowUnlessOk(const grpc::Status& status, const std::string& what) {
  if (!status.ok())
    throw std::runtime_error(what + ": " + Outcome(status) + ": " + status.error_message());
}

const char* CodeName(grpc::StatusCode code) {
  static constexpr const char* kNames[] = {"OK",
                                           "CANCELLED",
                                           "UNKNOWN",
                                           "INVALID_ARGUMENT",
                                           "DEADLINE_EXCEEDED",
                                           "NOT_FOUND",
                                           "ALREADY_EXISTS",
                                           "PERMISSION_DENIED",
                                           "RESOURCE_EXHAUSTED",
                                           "FAILED_PRECONDITION",
                                           "ABORTED",
                                           "OUT_OF_RANGE",
                                           "UNIMPLEMENTED",
                                           "INTERNAL",
                                           "UNAVAILABLE",
                                           "DATA_LOSS",
                                           "UNAUTHENTICATED"};
  return kNames[code];
}

}  // namespace

void SetDeadline(grpc::ClientContext& context, Milliseconds patience) {
  context.set_deadline(std::chrono::system_clock::now() + patience);
}

ErrorFacts FactsOf(const grpc::Status& status) {
  ErrorFacts facts;
  google::rpc::Status details;
  details.ParseFromString(status.error_details());
  for (const google::protobuf::Any& detail : details.details()) {
    google::rpc::RetryInfo retry;
    google::rpc::BadRequest bad_request;
    if (detail.Is<google::rpc::ErrorInfo>()) detail.UnpackTo(&facts.info);
    if (detail.UnpackTo(&retry)) facts.retry = retry;
    if (detail.UnpackTo(&bad_request)) facts.bad_request = bad_request;
  }
  return facts;
}

std::string Outcome(const grpc::Status& status) {
  const std::string reason = FactsOf(status).info.reason();
  return CodeName(status.error_code()) + (reason.empty() ? "" : " " + reason);
}

std::string NewId() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return "test-" + std::to_string(random()) + "-" + std::to_string(random());
}

v1::Operation EqualizeOperation() {
  v1::Operation operation;
  operation.mutable_equalize();
  return operation;
}

std::vector<v1::UploadImageRequest> UploadMessages(const v1::UploadImageRequest::Header& header,
                                                   const std::string& file, uint64_t offset,
                                                   size_t chunk_bytes) {
  std::vector<v1::UploadImageRequest> messages(1);
  *messages[0].mutable_header() = header;
  while (offset < file.size()) {
    v1::UploadImageRequest& message = messages.emplace_back();
    v1::Chunk& chunk = *message.mutable_chunk();
    chunk.set_offset(offset);
    chunk.set_data(file.substr(offset, chunk_bytes));
    chunk.set_crc32c(Crc32c(chunk.data()));
    offset += chunk.data().size();
  }
  return messages;
}

Upload::Upload(v1::Frontend::Stub& frontend) {
  SetDeadline(context_);
  writer_ = frontend.UploadImage(&context_, &response_);
}

grpc::Status Upload::Finish() {
  writer_->WritesDone();
  return writer_->Finish();
}

Watch::Watch(v1::Frontend::Stub& frontend, const v1::WatchJobRequest& request) {
  SetDeadline(context_, Seconds(300));
  reader_ = frontend.WatchJob(&context_, request);
  thread_ = std::thread([this] { Read(); });
}

Watch::~Watch() {
  context_.TryCancel();
  thread_.join();
}

void Watch::Read() {
  v1::WatchJobResponse event;
  while (reader_->Read(&event)) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (event.has_job()) {
      seen_.states.push_back(event.job().state());
      seen_.job = event.job();
    }
    if (event.has_progress()) seen_.progress.push_back(event.progress());
    if (event.has_ping()) seen_.pings.push_back(std::chrono::steady_clock::now());
    if (event.has_result()) seen_.result = event.result();
    if (event.has_chunk()) {
      const v1::Chunk& chunk = event.chunk();
      if (!seen_.first_offset) seen_.first_offset = chunk.offset();
      seen_.damaged |= chunk.offset() != *seen_.first_offset + seen_.bytes.size() ||
                       chunk.crc32c() != Crc32c(chunk.data());
      seen_.bytes += chunk.data();
    }
    changed_.notify_all();
  }
  const grpc::Status status = reader_->Finish();
  const std::lock_guard<std::mutex> lock(mutex_);
  seen_.status = status;
  changed_.notify_all();
}

Watch::Seen Watch::Snapshot() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return seen_;
}

bool Watch::WaitFor(const std::function<bool(const Seen&)>& enough, Milliseconds patience) const {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, patience, [&] { return enough(seen_); });
}

Watch::Seen Watch::End(Milliseconds patience) const {
  if (!WaitFor([](const Seen& seen) { return seen.status.has_value(); }, patience)) {
    throw std::runtime_error("the stream of WatchJob does not end");
  }
  return Snapshot();
}

FrontendClient::FrontendClient(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  // Each client its own connection, as separate programs have.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  channel_ = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  frontend_ = v1::Frontend::NewStub(channel_);
}

grpc::Status FrontendClient::Send(const std::vector<v1::UploadImageRequest>& messages,
                                  v1::UploadImageResponse* response) {
  Upload upload(*frontend_);
  for (const v1::UploadImageRequest& message : messages) {
    if (!upload.Send(message)) break;
  }
  const grpc::Status status = upload.Finish();
  if (response != nullptr) *response = upload.response();
  return status;
}

v1::UploadImageResponse FrontendClient::UploadToEqualize(const std::string& file,
                                                         const std::string& name) {
  v1::UploadImageRequest::Header header;
  header.set_upload_id(NewId());
  header.set_name(name);
  header.set_size_bytes(file.size());
  header.set_sha256(Sha256(file));
  *header.mutable_operation() = EqualizeOperation();
  v1::UploadImageResponse response;
  ThrowUnlessOk(Send(UploadMessages(header, file), &response), "UploadImage of " + name);
  return response;
}

v1::Job FrontendClient::EqualizeAnew(const std::string& image_id) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::CreateJobRequest request;
  request.set_request_id(NewId());
  request.set_image_id(image_id);
  request.set_refresh(true);
  *request.mutable_operation() = EqualizeOperation();
  v1::CreateJobResponse response;
  ThrowUnlessOk(frontend_->CreateJob(&context, request, &response), "CreateJob of " + image_id);
  return response.job();
}

v1::Image FrontendClient::UploadOnly(const std::string& file, const std::string& name) {
  v1::UploadImageRequest::Header header;
  header.set_upload_id(NewId());
  header.set_name(name);
  v1::UploadImageResponse response;
  ThrowUnlessOk(Send(UploadMessages(header, file), &response), "UploadImage of " + name);
  return response.image();
}

v1::Job FrontendClient::GetJob(const std::string& job_id) {
  grpc::ClientContext context;
  SetDeadline(context);
  context.set_wait_for_ready(true);
  v1::GetJobRequest request;
  request.set_job_id(job_id);
  v1::GetJobResponse response;
  ThrowUnlessOk(frontend_->GetJob(&context, request, &response), "GetJob " + job_id);
  return response.job();
}

v1::Job FrontendClient::AwaitFinal(const std::string& job_id, Milliseconds patience) {
  v1::Job job;
  if (!WaitUntil([&] { return IsFinal((job = GetJob(job_id)).state()); }, patience)) {
    throw std::runtime_error("the job does not end: " + job.ShortDebugString());
  }
  return job;
}

v1::Job FrontendClient::AwaitState(const std::string& job_id, v1::JobState state,
                                   Milliseconds patience) {
  v1::Job job;
  WaitUntil([&] { return (job = GetJob(job_id)).state() == state || IsFinal(job.state()); },
            patience);
  return job;
}

std::string FrontendClient::DownloadImage(const std::string& image_id) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::DownloadImageRequest request;
  request.set_image_id(image_id);
  const auto reader = frontend_->DownloadImage(&context, request);
  v1::DownloadImageResponse message;
  std::string bytes;
  while (reader->Read(&message)) {
    if (!message.has_chunk()) continue;
    if (message.chunk().offset() != bytes.size() ||
        message.chunk().crc32c() != Crc32c(message.chunk().data())) {
      throw std::runtime_error("a damaged chunk");
    }
    bytes += message.chunk().data();
  }
  ThrowUnlessOk(reader->Finish(), "DownloadImage " + image_id);
  return bytes;
}

v1::ListNodesResponse FrontendClient::ListNodes() {
  grpc::ClientContext context;
  SetDeadline(context);
  context.set_wait_for_ready(true);
  v1::ListNodesResponse response;
  ThrowUnlessOk(frontend_->ListNodes(&context, {}, &response), "ListNodes");
  return response;
}

std::vector<v1::Image> FrontendClient::ListImages() {
  std::vector<v1::Image> images;
  v1::ListImagesRequest request;
  do {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::ListImagesResponse response;
    ThrowUnlessOk(frontend_->ListImages(&context, request, &response), "ListImages");
    images.insert(images.end(), response.images().begin(), response.images().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return images;
}

std::vector<v1::Job> FrontendClient::ListJobs() {
  std::vector<v1::Job> jobs;
  v1::ListJobsRequest request;
  do {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::ListJobsResponse response;
    ThrowUnlessOk(frontend_->ListJobs(&context, request, &response), "ListJobs");
    jobs.insert(jobs.end(), response.jobs().begin(), response.jobs().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return jobs;
}

bool FrontendClient::AwaitNodes(int coordinators, int workers) {
  return WaitUntil([&] {
    const v1::ListNodesResponse nodes = ListNodes();
    int live_coordinators = 0;
    int live_workers = 0;
    for (const v1::CoordinatorInfo& coordinator : nodes.coordinators()) {
      if (!coordinator.alive()) continue;
      ++live_coordinators;
      live_workers = std::max(live_workers, coordinator.workers_size());
    }
    return live_coordinators == coordinators && live_workers == workers;
  });
}

bool FrontendClient::AwaitReachable() {
  return WaitUntil([&] {
    grpc::ClientContext context;
    SetDeadline(context, Seconds(2));
    v1::ListNodesResponse response;
    return frontend_->ListNodes(&context, {}, &response).ok();
  });
}

}  // namespace histeq::integration
