#pragma once

// What the tests of the store share: a clock to move, a folder that goes away, made-up images.

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/blob_store.h"
#include "store/catalog.h"
#include "store/records.h"

namespace histeq::store::testing {

class TestClock final : public base::Clock {
 public:
  absl::Time Now() const override {
    const std::lock_guard lock(mutex_);
    return absl::FromUnixSeconds(4'000'000'000) + passed_ + wall_shift_;
  }
  absl::Duration Monotonic() const override {
    const std::lock_guard lock(mutex_);
    return passed_;
  }
  void Advance(absl::Duration duration) {
    const std::lock_guard lock(mutex_);
    passed_ += duration;
  }
  // As an operator who sets the clock.
  void ShiftWall(absl::Duration duration) {
    const std::lock_guard lock(mutex_);
    wall_shift_ += duration;
  }

 private:
  mutable std::mutex mutex_;
  absl::Duration passed_ = absl::Hours(1);
  absl::Duration wall_shift_;
};

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "histeq-store-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::vector<uint8_t> RandomContent(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

inline ImageFacts MakeFacts(const std::string& location, uint64_t size_bytes = 1234) {
  ImageFacts facts;
  facts.location = location;
  // Of its own bytes.
  facts.sha256 = Sha256Of({reinterpret_cast<const uint8_t*>(location.data()), location.size()});
  facts.size_bytes = size_bytes;
  facts.format = ImageFormat::kPng;
  facts.width = 640;
  facts.height = 480;
  facts.channels = 3;
  facts.bits_per_sample = 16;
  return facts;
}

inline ImageFacts MakeFacts(const BlobInfo& blob) {
  ImageFacts facts = MakeFacts(blob.location, blob.size_bytes);
  facts.sha256 = blob.sha256;
  return facts;
}

inline UploadHeader MakeHeader(const std::string& upload_id, std::optional<JobSpec> job = {}) {
  UploadHeader header;
  header.upload_id = upload_id;
  header.name = "photo.jpg";
  header.job = std::move(job);
  return header;
}

// Uploads an image, with the job if there is one; a status that is not OK ends the test.
inline FinishedUpload AddImage(Catalog& catalog, const std::string& upload_id,
                               std::optional<JobSpec> job = {}) {
  const auto upload = catalog.BeginUpload(MakeHeader(upload_id, std::move(job)), "k" + upload_id);
  REQUIRE(upload.status() == absl::OkStatus());
  auto finished = catalog.FinishUpload(upload_id, MakeFacts("blob:" + upload_id));
  REQUIRE(finished.status() == absl::OkStatus());
  return *std::move(finished);
}

// A job with one output, or with none when `tag` is empty.
inline JobSpec MakeSpec(const std::string& operation, const std::string& tag,
                        const std::string& reference_image_id = "") {
  JobSpec spec;
  spec.operation = operation;
  spec.reference_image_id = reference_image_id;
  if (tag.empty()) return spec;
  JobOutput& output = spec.outputs.emplace_back();
  output.operation = operation;
  output.tag = tag;
  return spec;
}

inline JobSpec EqualizeSpec(const std::string& operation = "equalize") {
  return MakeSpec(operation, "EQUALIZED");
}

inline std::string ReasonOf(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  return detail.has_value() ? detail->reason : std::string();
}

template <typename T>
std::string ReasonOf(const absl::StatusOr<T>& result) {
  return ReasonOf(result.status());
}

inline std::string DetailOf(const absl::Status& status, const std::string& key) {
  const auto detail = base::GetErrorDetail(status);
  if (!detail.has_value() || detail->metadata.count(key) == 0) return {};
  return detail->metadata.at(key);
}

inline size_t CountEntries(BlobStore& store) {
  size_t count = 0;
  const absl::Status status = store.ForEach([&count](const BlobEntry&) {
    ++count;
    return absl::OkStatus();
  });
  return status.ok() ? count : SIZE_MAX;
}

// All bytes of a range of a blob.
inline absl::StatusOr<std::vector<uint8_t>> ReadAll(BlobStore& store, const std::string& location,
                                                    const BlobRange& range = {}) {
  auto reader = store.OpenRead(location, range);
  if (!reader.ok()) return reader.status();
  std::vector<uint8_t> all;
  std::vector<uint8_t> buffer(70'001);
  while (true) {
    const auto size = reader->source->Read(buffer);
    if (!size.ok()) return size.status();
    if (*size == 0) break;
    all.insert(all.end(), buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(*size));
  }
  if (all.size() != reader->size_bytes) return absl::InternalError("another size than announced");
  return all;
}

}  // namespace histeq::store::testing
