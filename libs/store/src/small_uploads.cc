#include "small_uploads.h"

namespace histeq::store {
namespace {

// Of a header, without which memory would be bounded by what clients say alone.
constexpr size_t kMaxHeaderBytes = 4096;

}  // namespace

bool SmallUploads::IsSmall(const UploadHeader& header) const {
  if (!header.size_bytes.has_value() || *header.size_bytes > max_bytes_) return false;
  size_t bytes = header.upload_id.size() + header.name.size();
  if (header.job.has_value()) {
    bytes += header.job->operation.size() + header.job->reference_image_id.size();
    for (const JobOutput& output : header.job->outputs) {
      bytes +=
          sizeof output + output.operation.size() + output.tag.size() + output.name_suffix.size();
    }
  }
  return bytes <= kMaxHeaderBytes;
}

std::optional<SmallUploads::Begun> SmallUploads::Begin(const UploadRecord& upload) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(upload.header.upload_id);
  if (found != entries_.end()) return found->second;
  if (entries_.size() >= max_uploads_) return std::nullopt;
  keys_.insert(upload.blob_key);
  return entries_.emplace(upload.header.upload_id, Begun{upload, false}).first->second;
}

void SmallUploads::Verify(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found != entries_.end()) found->second.verified = true;
}

void SmallUploads::RemoveUnverified(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found != entries_.end() && !found->second.verified) Erase(found);
}

void SmallUploads::Touch(const std::string& id, absl::Time time) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found != entries_.end()) found->second.upload.touch_time = time;
}

std::optional<UploadRecord> SmallUploads::Find(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end() || !found->second.verified) return std::nullopt;
  return found->second.upload;
}

bool SmallUploads::Has(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  return entries_.count(id) > 0;
}

bool SmallUploads::HasKey(const std::string& blob_key) const {
  const std::lock_guard lock(mutex_);
  return keys_.count(blob_key) > 0;
}

std::vector<UploadRecord> SmallUploads::TouchedBefore(absl::Time before, size_t max) const {
  const std::lock_guard lock(mutex_);
  std::vector<UploadRecord> uploads;
  for (const auto& [id, begun] : entries_) {
    if (uploads.size() >= max) break;
    if (begun.upload.touch_time < before) uploads.push_back(begun.upload);
  }
  return uploads;
}

std::optional<UploadRecord> SmallUploads::Take(const std::string& id, absl::Time before) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end() || found->second.upload.touch_time >= before) return std::nullopt;
  UploadRecord upload = found->second.upload;
  Erase(found);
  return upload;
}

void SmallUploads::PutBack(const UploadRecord& upload) {
  const std::lock_guard lock(mutex_);
  if (entries_.emplace(upload.header.upload_id, Begun{upload, true}).second) {
    keys_.insert(upload.blob_key);
  }
}

void SmallUploads::Erase(Entries::iterator entry) {
  keys_.erase(keys_.find(entry->second.upload.blob_key));
  entries_.erase(entry);
}

}  // namespace histeq::store
