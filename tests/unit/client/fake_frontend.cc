#include "fake_frontend.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "base/error.h"
#include "base/status_macros.h"
#include "rpc/chunk.h"
#include "rpc/status.h"
#include "store/records.h"
#include "store/sha256.h"

namespace histeq::client {
namespace {

constexpr std::chrono::seconds kPatience(60);

std::string Digest(const std::string& bytes) {
  return store::ToBytes(
      store::Sha256Of({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}));
}

grpc::Status Error(absl::StatusCode code, const std::string& message, const std::string& reason,
                   std::map<std::string, std::string> metadata = {}) {
  return rpc::ToGrpc(
      base::MakeError(code, message, {.reason = reason, .metadata = std::move(metadata)}));
}

// A planned status: as a server answers it when it has details, as gRPC itself makes one when not.
grpc::Status Answer(const absl::Status& status) {
  if (base::GetErrorDetail(status).has_value()) return rpc::ToGrpc(status);
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

grpc::Status NotFound(const std::string& what, const std::string& id) {
  return Error(absl::StatusCode::kNotFound, "no " + what + " " + id, "NO_SUCH_THING");
}

}  // namespace

FakeFrontend::FakeFrontend() { StartServer(); }
FakeFrontend::~FakeFrontend() { StopServer(); }

void FakeFrontend::StartServer() {
  rpc::ServerOptions options;
  options.port = port_;
  options.services = {this};
  auto server = rpc::Server::Start(options);
  if (!server.ok()) throw std::runtime_error(std::string(server.status().message()));
  port_ = (*server)->port();
  server_ = *std::move(server);
}

void FakeFrontend::StopServer() {
  if (server_ == nullptr) return;
  server_->Shutdown(absl::ZeroDuration());
  server_.reset();
}

std::string FakeFrontend::address() const { return "127.0.0.1:" + std::to_string(port_); }

void FakeFrontend::Plan(const std::string& rpc, Fault fault) {
  std::lock_guard lock(mutex_);
  faults_[rpc].push_back(std::move(fault));
}

int FakeFrontend::calls(const std::string& rpc) {
  std::lock_guard lock(mutex_);
  return calls_[rpc];
}

bool FakeFrontend::AwaitCalls(const std::string& rpc, int count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [&] { return calls_[rpc] >= count; });
}

std::optional<FakeFrontend::Fault> FakeFrontend::NextFault(const std::string& rpc) {
  std::lock_guard lock(mutex_);
  ++calls_[rpc];
  changed_.notify_all();
  auto& planned = faults_[rpc];
  if (planned.empty()) return std::nullopt;
  Fault fault = std::move(planned.front());
  planned.pop_front();
  return fault;
}

void FakeFrontend::Hang(grpc::ServerContext* context) {
  std::unique_lock lock(mutex_);
  while (!context->IsCancelled()) changed_.wait_for(lock, std::chrono::milliseconds(10));
}

grpc::Status FakeFrontend::Meet(const std::string& rpc, grpc::ServerContext* context,
                                bool* after_effect) {
  const std::optional<Fault> fault = NextFault(rpc);
  if (!fault.has_value()) return grpc::Status::OK;
  if (fault->then) fault->then();
  if (fault->hang) Hang(context);
  *after_effect = fault->after_effect;
  return Answer(fault->status);
}

v1::Image FakeFrontend::Store(const std::string& name, const std::string& bytes) {
  v1::Image image;
  image.set_id("image-" + std::to_string(images_.size() + 1));
  image.set_name(name);
  image.set_location("blob:" + image.id());
  image.set_sha256(Digest(bytes));
  image.set_size_bytes(bytes.size());
  image.set_format(v1::IMAGE_FORMAT_PNG);
  image.set_width(10);
  image.set_height(20);
  image.set_channels(1);
  image.set_bits_per_sample(8);
  image.mutable_create_time()->set_seconds(1700000000);
  bytes_[image.id()] = bytes;
  images_.push_back(image);
  return image;
}

v1::Job FakeFrontend::Queue(const v1::Image& image, const v1::Operation& operation) {
  v1::Job job;
  job.set_id("job-" + std::to_string(jobs_.size() + 1));
  job.set_image_id(image.id());
  job.set_image_name(image.name());
  *job.mutable_operation() = operation;
  job.set_state(v1::JOB_STATE_QUEUED);
  job.set_max_attempts(3);
  jobs_.push_back(job);
  Settle();
  return job;
}

// What a coordinator would do.
void FakeFrontend::Settle() {
  if (hold_) return;
  for (v1::Job& job : jobs_) {
    if (job.state() != v1::JOB_STATE_QUEUED) continue;
    job.set_attempts(1);
    if (job_error_.has_value()) {
      job.set_state(v1::JOB_STATE_FAILED);
      *job.mutable_error() = *job_error_;
      continue;
    }
    std::string bytes = bytes_[job.image_id()];
    std::reverse(bytes.begin(), bytes.end());
    v1::Image result = Store(store::ResultName(job.image_name(), "EQUALIZED"), bytes);
    images_.back().set_source_job_id(job.id());
    job.set_result_image_id(result.id());
    job.set_state(v1::JOB_STATE_SUCCEEDED);
  }
  changed_.notify_all();
}

void FakeFrontend::HoldJobs() {
  std::lock_guard lock(mutex_);
  hold_ = true;
}

void FakeFrontend::ReleaseJobs() {
  std::lock_guard lock(mutex_);
  hold_ = false;
  Settle();
}

void FakeFrontend::FailJobs(const v1::JobError& error) {
  std::lock_guard lock(mutex_);
  job_error_ = error;
}

v1::Image FakeFrontend::AddImage(const std::string& name, const std::string& bytes) {
  std::lock_guard lock(mutex_);
  return Store(name, bytes);
}

std::string FakeFrontend::BytesOf(const std::string& image_id) {
  std::lock_guard lock(mutex_);
  return bytes_[image_id];
}

std::vector<v1::Image> FakeFrontend::images() {
  std::lock_guard lock(mutex_);
  return images_;
}

std::vector<v1::Job> FakeFrontend::jobs() {
  std::lock_guard lock(mutex_);
  return jobs_;
}

v1::Job FakeFrontend::Shown(v1::Job job) const {
  if (const auto twist = twist_job.get()) twist(job);
  return job;
}

v1::Image FakeFrontend::Shown(v1::Image image) const {
  if (const auto twist = twist_image.get()) twist(image);
  return image;
}

grpc::Status FakeFrontend::UploadImage(grpc::ServerContext* context,
                                       grpc::ServerReader<v1::UploadImageRequest>* reader,
                                       v1::UploadImageResponse* response) {
  const std::optional<Fault> fault = NextFault("UploadImage");
  v1::UploadImageRequest request;
  if (!reader->Read(&request) || !request.has_header()) {
    return Error(absl::StatusCode::kInvalidArgument, "no header", "NO_HEADER");
  }
  const v1::UploadImageRequest::Header header = request.header();
  std::unique_lock lock(mutex_);
  Partial& partial = uploads_[header.upload_id()];
  partial.header = header;
  std::string finish;
  while (partial.image_id.empty()) {
    if (fault.has_value() && !fault->after_effect && partial.bytes.size() >= fault->after_bytes) {
      if (fault->keep_bytes.has_value()) partial.bytes.resize(*fault->keep_bytes);
      lock.unlock();
      if (fault->then) fault->then();
      if (fault->hang) Hang(context);
      return Answer(fault->status);
    }
    lock.unlock();
    const bool more = reader->Read(&request);
    lock.lock();
    if (!more) break;
    if (request.has_finish()) finish = request.finish().sha256();
    if (!request.has_chunk()) continue;
    const absl::Status fits = rpc::CheckChunk(request.chunk(), partial.bytes.size());
    if (!fits.ok()) return rpc::ToGrpc(fits);
    partial.bytes += request.chunk().data();
  }
  if (partial.image_id.empty()) {
    if (partial.bytes.size() != header.size_bytes()) {
      return Error(absl::StatusCode::kUnavailable, "the stream broke", "BROKEN");
    }
    if (!finish.empty() && finish != Digest(partial.bytes)) {
      partial.bytes.clear();
      return Error(absl::StatusCode::kDataLoss, "the SHA-256 differs", "CHECKSUM_MISMATCH");
    }
    const v1::Image image = Store(header.name(), partial.bytes);
    partial.image_id = image.id();
    if (header.has_operation()) partial.job_id = Queue(image, header.operation()).id();
  }
  if (fault.has_value() && fault->after_effect) return Answer(fault->status);
  for (const v1::Image& image : images_) {
    if (image.id() == partial.image_id) *response->mutable_image() = Shown(image);
  }
  for (const v1::Job& job : jobs_) {
    if (job.id() == partial.job_id) *response->mutable_job() = Shown(job);
  }
  return grpc::Status::OK;
}

grpc::Status FakeFrontend::GetUpload(grpc::ServerContext* context,
                                     const v1::GetUploadRequest* request,
                                     v1::GetUploadResponse* response) {
  bool after_effect = false;
  if (grpc::Status met = Meet("GetUpload", context, &after_effect); !met.ok()) return met;
  std::lock_guard lock(mutex_);
  const auto found = uploads_.find(request->upload_id());
  if (found == uploads_.end()) return NotFound("upload", request->upload_id());
  response->set_committed_bytes(found->second.bytes.size());
  response->set_finished(!found->second.image_id.empty());
  for (const v1::Image& image : images_) {
    if (image.id() == found->second.image_id) *response->mutable_image() = Shown(image);
  }
  for (const v1::Job& job : jobs_) {
    if (job.id() == found->second.job_id) *response->mutable_job() = Shown(job);
  }
  return grpc::Status::OK;
}

grpc::Status FakeFrontend::GetImage(grpc::ServerContext* context,
                                    const v1::GetImageRequest* request,
                                    v1::GetImageResponse* response) {
  bool after_effect = false;
  if (grpc::Status met = Meet("GetImage", context, &after_effect); !met.ok()) return met;
  std::lock_guard lock(mutex_);
  for (const v1::Image& image : images_) {
    if (image.id() != request->image_id()) continue;
    *response->mutable_image() = Shown(image);
    if (const auto describe = describe_image.get()) describe(*response);
    return grpc::Status::OK;
  }
  return NotFound("image", request->image_id());
}

grpc::Status FakeFrontend::ListImages(grpc::ServerContext* context,
                                      const v1::ListImagesRequest* request,
                                      v1::ListImagesResponse* response) {
  bool after_effect = false;
  if (grpc::Status met = Meet("ListImages", context, &after_effect); !met.ok()) return met;
  std::lock_guard lock(mutex_);
  size_t at = request->page_token().empty() ? 0 : std::stoul(request->page_token());
  const size_t size = std::min<size_t>(request->page_size(), page_size);
  std::vector<v1::Image> wanted;
  for (auto image = images_.rbegin(); image != images_.rend(); ++image) {
    if (request->name().empty() || request->name() == image->name()) wanted.push_back(*image);
  }
  for (size_t i = 0; i < size && at < wanted.size(); ++i, ++at) {
    *response->add_images() = Shown(wanted[at]);
  }
  if (endless_pages) {
    response->set_next_page_token("0");
  } else if (at < wanted.size()) {
    response->set_next_page_token(std::to_string(at));
  }
  return grpc::Status::OK;
}

grpc::Status FakeFrontend::DeleteImage(grpc::ServerContext* context,
                                       const v1::DeleteImageRequest* request,
                                       v1::DeleteImageResponse*) {
  bool after_effect = false;
  const grpc::Status met = Meet("DeleteImage", context, &after_effect);
  if (!met.ok() && !after_effect) return met;
  std::lock_guard lock(mutex_);
  const size_t erased = std::erase_if(
      images_, [&](const v1::Image& image) { return image.id() == request->image_id(); });
  if (erased == 0) return NotFound("image", request->image_id());
  return met;
}

grpc::Status FakeFrontend::SendBytes(const std::string& bytes, uint64_t offset, uint64_t end,
                                     const std::optional<Fault>& fault,
                                     grpc::ServerContext* context,
                                     const std::function<bool(v1::Chunk)>& send) {
  uint64_t sent = 0;
  for (;;) {
    const bool due = fault.has_value() && sent >= fault->after_bytes;
    if (due && !fault->corrupt_chunk && !fault->wrong_offset) {
      if (fault->then) fault->then();
      if (fault->hang) Hang(context);
      return Answer(fault->status);
    }
    if (offset >= end) return grpc::Status::OK;
    v1::Chunk chunk;
    chunk.set_data(bytes.substr(offset, std::min<uint64_t>(chunk_bytes, end - offset)));
    rpc::SealChunk(due && fault->wrong_offset ? offset + 1 : offset, chunk);
    if (due && fault->corrupt_chunk) chunk.set_crc32c(chunk.crc32c() + 1);
    const size_t size = chunk.data().size();
    if (!send(std::move(chunk))) return grpc::Status::CANCELLED;
    offset += size;
    sent += size;
  }
}

grpc::Status FakeFrontend::DownloadImage(grpc::ServerContext* context,
                                         const v1::DownloadImageRequest* request,
                                         grpc::ServerWriter<v1::DownloadImageResponse>* writer) {
  const std::optional<Fault> fault = NextFault("DownloadImage");
  v1::DownloadImageResponse response;
  std::string bytes;
  {
    std::lock_guard lock(mutex_);
    for (const v1::Image& image : images_) {
      if (image.id() == request->image_id()) *response.mutable_image() = Shown(image);
    }
    if (!response.has_image()) return NotFound("image", request->image_id());
    bytes = bytes_[request->image_id()];
  }
  if (request->offset() > bytes.size()) {
    return Error(absl::StatusCode::kOutOfRange, "beyond the end", "OFFSET_OUT_OF_RANGE");
  }
  writer->Write(response);
  const uint64_t end = request->limit() == 0
                           ? bytes.size()
                           : std::min<uint64_t>(bytes.size(), request->offset() + request->limit());
  return SendBytes(bytes, request->offset(), end, fault, context, [&](v1::Chunk chunk) {
    v1::DownloadImageResponse message;
    *message.mutable_chunk() = std::move(chunk);
    return writer->Write(message);
  });
}

grpc::Status FakeFrontend::GetHistogram(grpc::ServerContext* context,
                                        const v1::GetHistogramRequest* request,
                                        v1::GetHistogramResponse* response) {
  bool after_effect = false;
  if (grpc::Status met = Meet("GetHistogram", context, &after_effect); !met.ok()) return met;
  std::lock_guard lock(mutex_);
  if (bytes_.count(request->image_id()) == 0) return NotFound("image", request->image_id());
  v1::ImageStatistics& statistics = *response->mutable_statistics();
  statistics.set_bits_per_sample(8);
  statistics.set_counted_pixels(200);
  auto& channel = *statistics.add_channels();
  channel.set_channel(v1::ImageStatistics::CHANNEL_GRAY);
  for (int value = 0; value < 256; ++value) {
    channel.mutable_histogram()->add_counts(static_cast<uint64_t>(value));
  }
  channel.set_maximum(255);
  channel.set_mean(127.5);
  for (int i = 0; i < 7; ++i) channel.add_percentiles(static_cast<uint32_t>(i * 40));
  return grpc::Status::OK;
}

grpc::Status FakeFrontend::CreateJob(grpc::ServerContext* context,
                                     const v1::CreateJobRequest* request,
                                     v1::CreateJobResponse* response) {
  bool after_effect = false;
  const grpc::Status met = Meet("CreateJob", context, &after_effect);
  if (!met.ok() && !after_effect) return met;
  std::lock_guard lock(mutex_);
  if (request->refresh()) ++refreshes;
  std::string& job_id = requests_[request->request_id()];
  if (job_id.empty()) {
    const auto image = std::find_if(images_.begin(), images_.end(), [&](const v1::Image& one) {
      return one.id() == request->image_id();
    });
    if (image == images_.end()) return NotFound("image", request->image_id());
    job_id = Queue(v1::Image(*image), request->operation()).id();
  }
  for (const v1::Job& job : jobs_) {
    if (job.id() == job_id) *response->mutable_job() = Shown(job);
  }
  return met;
}

grpc::Status FakeFrontend::GetJob(grpc::ServerContext* context, const v1::GetJobRequest* request,
                                  v1::GetJobResponse* response) {
  bool after_effect = false;
  if (grpc::Status met = Meet("GetJob", context, &after_effect); !met.ok()) return met;
  std::lock_guard lock(mutex_);
  for (const v1::Job& job : jobs_) {
    if (job.id() != request->job_id()) continue;
    *response->mutable_job() = Shown(job);
    return grpc::Status::OK;
  }
  return NotFound("job", request->job_id());
}

grpc::Status FakeFrontend::ListJobs(grpc::ServerContext* context,
                                    const v1::ListJobsRequest* request,
                                    v1::ListJobsResponse* response) {
  bool after_effect = false;
  if (grpc::Status met = Meet("ListJobs", context, &after_effect); !met.ok()) return met;
  std::lock_guard lock(mutex_);
  for (auto job = jobs_.rbegin(); job != jobs_.rend(); ++job) {
    if (request->state() != v1::JOB_STATE_UNSPECIFIED && request->state() != job->state()) continue;
    if (!request->image_id().empty() && request->image_id() != job->image_id()) continue;
    *response->add_jobs() = Shown(*job);
  }
  return grpc::Status::OK;
}

grpc::Status FakeFrontend::CancelJob(grpc::ServerContext* context,
                                     const v1::CancelJobRequest* request,
                                     v1::CancelJobResponse* response) {
  bool after_effect = false;
  if (grpc::Status met = Meet("CancelJob", context, &after_effect); !met.ok()) return met;
  std::lock_guard lock(mutex_);
  for (v1::Job& job : jobs_) {
    if (job.id() != request->job_id()) continue;
    if (job.state() == v1::JOB_STATE_QUEUED) job.set_state(v1::JOB_STATE_CANCELLED);
    changed_.notify_all();
    *response->mutable_job() = Shown(job);
    return grpc::Status::OK;
  }
  return NotFound("job", request->job_id());
}

grpc::Status FakeFrontend::WatchJob(grpc::ServerContext* context,
                                    const v1::WatchJobRequest* request,
                                    grpc::ServerWriter<v1::WatchJobResponse>* writer) {
  const std::optional<Fault> fault = NextFault("WatchJob");
  v1::JobState told = v1::JOB_STATE_UNSPECIFIED;
  v1::Job job;
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto found = std::find_if(jobs_.begin(), jobs_.end(), [&](const v1::Job& one) {
      return one.id() == request->job_id();
    });
    if (found == jobs_.end()) return NotFound("job", request->job_id());
    job = *found;
    if (job.state() != told) {
      told = job.state();
      v1::WatchJobResponse response;
      *response.mutable_job() = Shown(job);
      lock.unlock();
      writer->Write(response);
      lock.lock();
      const bool at_once = fault.has_value() && fault->after_bytes == 0 && !fault->corrupt_chunk &&
                           !fault->wrong_offset;
      if (at_once) {
        lock.unlock();
        if (fault->then) fault->then();
        if (fault->hang) Hang(context);
        return Answer(fault->status);
      }
      continue;
    }
    if (job.state() >= v1::JOB_STATE_SUCCEEDED) break;
    if (context->IsCancelled()) return grpc::Status::CANCELLED;
    if (changed_.wait_for(lock, std::chrono::milliseconds(50)) == std::cv_status::timeout) {
      v1::WatchJobResponse ping;
      ping.mutable_ping();
      lock.unlock();
      writer->Write(ping);
      lock.lock();
    }
  }
  if (!request->send_result() || job.state() != v1::JOB_STATE_SUCCEEDED) return grpc::Status::OK;
  v1::WatchJobResponse response;
  for (const v1::Image& image : images_) {
    if (image.id() == job.result_image_id()) *response.mutable_result() = Shown(image);
  }
  const std::string bytes = bytes_[job.result_image_id()];
  lock.unlock();
  writer->Write(response);
  return SendBytes(bytes, request->result_offset(), bytes.size(), fault, context,
                   [&](v1::Chunk chunk) {
                     v1::WatchJobResponse message;
                     *message.mutable_chunk() = std::move(chunk);
                     return writer->Write(message);
                   });
}

grpc::Status FakeFrontend::ListNodes(grpc::ServerContext* context, const v1::ListNodesRequest*,
                                     v1::ListNodesResponse* response) {
  bool after_effect = false;
  if (grpc::Status met = Meet("ListNodes", context, &after_effect); !met.ok()) return met;
  std::lock_guard lock(mutex_);
  for (const v1::CoordinatorInfo& one : coordinators_) *response->add_coordinators() = one;
  response->set_workers_omitted(workers_omitted);
  return grpc::Status::OK;
}

grpc::Status FakeFrontend::RegisterCoordinator(grpc::ServerContext* context,
                                               const v1::RegisterCoordinatorRequest* request,
                                               v1::RegisterCoordinatorResponse*) {
  bool after_effect = false;
  if (grpc::Status met = Meet("RegisterCoordinator", context, &after_effect); !met.ok()) return met;
  std::lock_guard lock(mutex_);
  v1::CoordinatorInfo info;
  info.set_name(request->name());
  info.set_address(request->address());
  info.set_registered(true);
  auto& worker = *info.add_workers();
  worker.set_name("worker-of-" + request->name());
  worker.set_slots(4);
  worker.set_free_slots(1);
  coordinators_.push_back(info);
  return grpc::Status::OK;
}

grpc::Status FakeFrontend::RemoveCoordinator(grpc::ServerContext* context,
                                             const v1::RemoveCoordinatorRequest* request,
                                             v1::RemoveCoordinatorResponse*) {
  bool after_effect = false;
  const grpc::Status met = Meet("RemoveCoordinator", context, &after_effect);
  if (!met.ok() && !after_effect) return met;
  std::lock_guard lock(mutex_);
  if (std::erase_if(coordinators_, [&](const v1::CoordinatorInfo& one) {
        return one.name() == request->name();
      }) == 0) {
    return NotFound("coordinator", request->name());
  }
  return met;
}

}  // namespace histeq::client
