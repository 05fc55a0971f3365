#include "frontend_harness.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "base/crc32c.h"
#include "base/error.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "rpc/chunk.h"
#include "rpc/event_log.h"
#include "rpc/status.h"
#include "store/sha256.h"

namespace histeq::testing {
namespace {

void SetPatience(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
}

base::ErrorDetail DetailOf(const grpc::Status& status) {
  return base::GetErrorDetail(rpc::FromGrpc(status)).value_or(base::ErrorDetail());
}

template <typename Message>
Message ChunkMessage(uint64_t offset, const std::string& data) {
  Message message;
  message.mutable_chunk()->set_data(data);
  rpc::SealChunk(offset, *message.mutable_chunk());
  return message;
}

}  // namespace

std::string Outcome(const grpc::Status& status) {
  const std::string code =
      absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code()));
  const std::string reason = DetailOf(status).reason;
  return reason.empty() ? code : code + " " + reason;
}

std::string MetadataOf(const grpc::Status& status, const std::string& key) {
  const base::ErrorDetail detail = DetailOf(status);
  const auto found = detail.metadata.find(key);
  return found == detail.metadata.end() ? std::string() : found->second;
}

std::string FieldOf(const grpc::Status& status) { return DetailOf(status).field; }

bool HasRetryDelay(const grpc::Status& status) { return DetailOf(status).retry_after.has_value(); }

std::string TestFile(const std::string& name) {
  std::ifstream file(std::string(std::getenv("HISTEQ_TEST_DATA")) + "/" + name, std::ios::binary);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string Sha256Of(const std::string& bytes) {
  return store::ToBytes(
      store::Sha256Of({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}));
}

std::string PngOfBits(uint8_t bits) {
  std::string file = TestFile("moon.png");
  file[24] = static_cast<char>(bits);
  uint32_t crc = 0xFFFFFFFF;
  for (size_t i = 12; i < 29; ++i) {
    crc ^= static_cast<uint8_t>(file[i]);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
  }
  for (int i = 0; i < 4; ++i) file[29 + i] = static_cast<char>(~crc >> (24 - 8 * i));
  return file;
}

std::string NewId() {
  static std::mutex mutex;
  static std::mt19937_64 random{std::random_device{}()};
  std::lock_guard lock(mutex);
  return "test-" + std::to_string(random());
}

v1::Operation Equalize() {
  v1::Operation operation;
  operation.mutable_equalize();
  return operation;
}

bool WaitUntil(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

Harness::Harness(const std::function<void(frontend::FrontendOptions&)>& change) {
  rpc::ConfigureLog(rpc::LogLevel::kError, rpc::LogFormat::kText, "frontend", "test");
  // Durability is the store's tests' matter; here a disk that is busy would only cost time.
  const std::filesystem::path memory = "/dev/shm";
  const std::filesystem::path parent =
      std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path();
  std::string folder = (parent / "histeq-frontend-XXXXXX").string();
  REQUIRE(mkdtemp(folder.data()) != nullptr);
  folder_ = folder;
  options_.data_dir = folder_ + "/data";
  // Tests count files.
  options_.max_packed_bytes = 0;
  options_.disk_reserve_bytes = 0;
  if (change) change(options_);
  Start();
}

Harness::~Harness() {
  Stop();
  std::filesystem::remove_all(folder_);
}

void Harness::Start() {
  auto frontend = frontend::Frontend::Open(options_);
  INFO(frontend.status());
  REQUIRE(frontend.ok());
  frontend_ = *std::move(frontend);
  rpc::ServerOptions server_options;
  server_options.services = frontend_->services();
  auto server = rpc::Server::Start(server_options);
  INFO(server.status());
  REQUIRE(server.ok());
  server_ = *std::move(server);
  frontend_->StartMaintenance();
  client_ = NewClient();
  queue_ = v1::JobQueue::NewStub(NewChannel());
}

void Harness::Stop() {
  if (server_ == nullptr) return;
  server_->Shutdown(absl::ZeroDuration());
  server_.reset();
  frontend_.reset();
}

void Harness::Restart() {
  Stop();
  Start();
}

std::vector<std::string> Harness::BlobFiles() const {
  std::vector<std::string> files;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(options_.data_dir + "/blobs")) {
    if (entry.is_regular_file()) files.push_back(entry.path().filename().string());
  }
  return files;
}

std::shared_ptr<grpc::Channel> Harness::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(server_->local_address(), grpc::InsecureChannelCredentials(),
                                   arguments);
}

std::unique_ptr<v1::Frontend::Stub> Harness::NewClient() const {
  return v1::Frontend::NewStub(NewChannel());
}

v1::UploadImageResponse Harness::Upload(const std::string& file, const std::string& name,
                                        const v1::Operation* operation) {
  v1::UploadImageRequest::Header header = HeaderOf(name);
  header.set_size_bytes(file.size());
  header.set_sha256(Sha256Of(file));
  if (operation != nullptr) *header.mutable_operation() = *operation;
  UploadCall upload(*client_, header);
  upload.SendRest(file);
  const grpc::Status status = upload.Finish();
  INFO(Outcome(status) << ": " << status.error_message());
  REQUIRE(status.ok());
  return upload.response();
}

v1::Job Harness::GetJob(const std::string& job_id) {
  v1::GetJobRequest request;
  request.set_job_id(job_id);
  v1::GetJobResponse response;
  const grpc::Status status = Call(*client_, &v1::Frontend::Stub::GetJob, request, &response);
  INFO(Outcome(status));
  REQUIRE(status.ok());
  return response.job();
}

bool Harness::AwaitState(const std::string& job_id, v1::JobState state) {
  return WaitUntil([&] { return GetJob(job_id).state() == state; });
}

grpc::Status Harness::TryLease(v1::LeaseJobResponse* response, const std::string& coordinator,
                               int wait_ms) {
  v1::LeaseJobRequest request;
  request.set_coordinator(coordinator);
  request.mutable_wait()->set_seconds(wait_ms / 1000);
  request.mutable_wait()->set_nanos(wait_ms % 1000 * 1'000'000);
  return Call(*queue_, &v1::JobQueue::Stub::LeaseJob, request, response);
}

v1::LeaseJobResponse::Lease Harness::Lease(const std::string& coordinator) {
  v1::LeaseJobResponse response;
  const grpc::Status status = TryLease(&response, coordinator, 30'000);
  INFO(Outcome(status));
  REQUIRE(status.ok());
  REQUIRE(response.has_lease());
  return response.lease();
}

std::string Harness::Download(const std::string& image_id) {
  grpc::ClientContext context;
  SetPatience(context);
  v1::DownloadImageRequest request;
  request.set_image_id(image_id);
  const auto reader = client_->DownloadImage(&context, request);
  v1::DownloadImageResponse message;
  std::string bytes;
  while (reader->Read(&message)) {
    if (message.has_chunk()) bytes += message.chunk().data();
  }
  const grpc::Status status = reader->Finish();
  INFO(Outcome(status));
  REQUIRE(status.ok());
  return bytes;
}

v1::UploadImageRequest::Header HeaderOf(const std::string& name) {
  v1::UploadImageRequest::Header header;
  header.set_upload_id(NewId());
  header.set_name(name);
  return header;
}

UploadCall::UploadCall(v1::Frontend::Stub& stub, const v1::UploadImageRequest::Header& header) {
  SetPatience(context_);
  writer_ = stub.UploadImage(&context_, &response_);
  v1::UploadImageRequest message;
  *message.mutable_header() = header;
  writer_->Write(message);
}

UploadCall::~UploadCall() {
  if (finished_) return;
  context_.TryCancel();
  writer_->Finish();
}

bool UploadCall::SendChunk(uint64_t offset, const std::string& data) {
  return Send(ChunkMessage<v1::UploadImageRequest>(offset, data));
}

void UploadCall::SendRest(const std::string& file, uint64_t offset, size_t piece) {
  while (offset < file.size()) {
    const std::string data = file.substr(offset, piece);
    if (!SendChunk(offset, data)) return;
    offset += data.size();
  }
}

grpc::Status UploadCall::Finish() {
  writer_->WritesDone();
  return FinishOpen();
}

grpc::Status UploadCall::FinishOpen() {
  finished_ = true;
  return writer_->Finish();
}

CompleteCall::CompleteCall(v1::JobQueue::Stub& stub, const std::string& job_id, uint64_t epoch) {
  SetPatience(context_);
  writer_ = stub.CompleteJob(&context_, &response_);
  v1::CompleteJobRequest message;
  message.mutable_header()->set_job_id(job_id);
  message.mutable_header()->set_epoch(epoch);
  writer_->Write(message);
}

CompleteCall::~CompleteCall() {
  if (finished_) return;
  context_.TryCancel();
  writer_->Finish();
}

bool CompleteCall::SendChunk(uint64_t offset, const std::string& data) {
  return writer_->Write(ChunkMessage<v1::CompleteJobRequest>(offset, data));
}

bool CompleteCall::EndResult(const std::string& file) {
  v1::CompleteJobRequest message;
  message.mutable_end_of_result()->set_size_bytes(file.size());
  message.mutable_end_of_result()->set_sha256(Sha256Of(file));
  return writer_->Write(message);
}

grpc::Status CompleteCall::Finish(const std::string& file) {
  v1::CompleteJobRequest::Finish finish;
  finish.set_size_bytes(file.size());
  finish.set_sha256(Sha256Of(file));
  return Finish(finish);
}

grpc::Status CompleteCall::Finish(const v1::CompleteJobRequest::Finish& finish) {
  v1::CompleteJobRequest message;
  *message.mutable_finish() = finish;
  writer_->Write(message);
  writer_->WritesDone();
  return FinishOpen();
}

grpc::Status CompleteCall::FinishOpen() {
  finished_ = true;
  return writer_->Finish();
}

grpc::Status CompleteWith(v1::JobQueue::Stub& stub, const v1::LeaseJobResponse::Lease& lease,
                          const std::string& file, v1::CompleteJobResponse* response) {
  CompleteCall call(stub, lease.job_id(), lease.epoch());
  for (size_t at = 0; at < file.size(); at += 64 << 10) {
    if (!call.SendChunk(at, file.substr(at, 64 << 10))) break;
  }
  const grpc::Status status = call.Finish(file);
  if (response != nullptr) *response = call.response();
  return status;
}

WatchCall::WatchCall(v1::Frontend::Stub& stub, const v1::WatchJobRequest& request) {
  SetPatience(context_);
  reader_ = stub.WatchJob(&context_, request);
  thread_ = std::thread([this] { Read(); });
}

WatchCall::~WatchCall() {
  context_.TryCancel();
  thread_.join();
}

void WatchCall::Read() {
  v1::WatchJobResponse event;
  while (reader_->Read(&event)) {
    std::lock_guard lock(mutex_);
    if (event.has_job()) seen_.states.push_back(event.job().state());
    if (event.has_ping()) ++seen_.pings;
    if (event.has_result()) seen_.result = event.result();
    if (event.has_chunk()) {
      const v1::Chunk& chunk = event.chunk();
      if (!seen_.first_offset.has_value()) seen_.first_offset = chunk.offset();
      seen_.damaged |= !rpc::CheckChunk(chunk, *seen_.first_offset + seen_.bytes.size()).ok() ||
                       !chunk.has_crc32c();
      seen_.bytes += chunk.data();
    } else {
      seen_.events.push_back(event);
    }
    changed_.notify_all();
  }
  const grpc::Status status = reader_->Finish();
  std::lock_guard lock(mutex_);
  seen_.status = status;
  changed_.notify_all();
}

bool WatchCall::WaitFor(const std::function<bool(const Seen&)>& enough) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [&] { return enough(seen_); });
}

WatchCall::Seen WatchCall::End() {
  WaitFor([](const Seen& seen) { return seen.status.has_value(); });
  std::lock_guard lock(mutex_);
  return seen_;
}

v1::WatchJobRequest WatchOf(const std::string& job_id, bool send_result) {
  v1::WatchJobRequest request;
  request.set_job_id(job_id);
  request.set_send_result(send_result);
  return request;
}

HeartbeatCall::HeartbeatCall(v1::JobQueue::Stub& stub) {
  SetPatience(context_);
  stream_ = stub.Heartbeat(&context_);
}

HeartbeatCall::~HeartbeatCall() {
  if (finished_) return;
  context_.TryCancel();
  stream_->Finish();
}

bool HeartbeatCall::Beat(const v1::HeartbeatRequest& request, v1::HeartbeatResponse* response) {
  return stream_->Write(request) && stream_->Read(response);
}

grpc::Status HeartbeatCall::Finish() {
  finished_ = true;
  stream_->WritesDone();
  v1::HeartbeatResponse response;
  while (stream_->Read(&response)) {
  }
  return stream_->Finish();
}

v1::HeartbeatRequest BeatOf(const std::string& coordinator) {
  v1::HeartbeatRequest request;
  request.mutable_coordinator()->set_name(coordinator);
  request.mutable_coordinator()->set_address("127.0.0.1:7071");
  request.mutable_coordinator()->set_job_slots(2);
  return request;
}

void AddLease(v1::HeartbeatRequest& beat, const v1::LeaseJobResponse::Lease& lease,
              uint32_t segments_done) {
  v1::HeldLease& held = *beat.add_leases();
  held.set_job_id(lease.job_id());
  held.set_epoch(lease.epoch());
  if (segments_done > 0) {
    held.mutable_progress()->set_stage(v1::JOB_STAGE_TRANSFORM);
    held.mutable_progress()->set_segments_done(segments_done);
    held.mutable_progress()->set_segments_total(100);
  }
}

}  // namespace histeq::testing
