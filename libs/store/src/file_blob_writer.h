#pragma once

// One partial blob on the file system, being written.

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "file_calls.h"
#include "sections.h"
#include "store/blob_store.h"
#include "store/sha256.h"

namespace histeq::store {

// Where the files of one key are.
struct BlobPaths {
  std::string folder;
  std::string whole;
  std::string partial;
  std::string sections;
};

constexpr uint64_t kUnknownBytes = UINT64_MAX;

// What the store knows of a blob while its writer is open.
struct OpenBlob {
  // kUnknownBytes until Open has found it out.
  std::atomic<uint64_t> committed{kUnknownBytes};
  // Announced bytes that are still to be written: kept free for this writer.
  std::atomic<uint64_t> awaited{0};
};

class FileBlobWriter final : public BlobWriter {
 public:
  struct Setup {
    std::string key;
    std::string location;
    BlobPaths paths;
    uint64_t sync_bytes = 0;
    absl::Duration sync_interval;
    const base::Clock* clock = nullptr;
    // Discard when destroyed unfinished.
    bool discard_unfinished = false;
    std::shared_ptr<OpenBlob> open;
    // OK while the disk has room.
    std::function<absl::Status()> check_space;
    // Called by the destructor.
    std::function<void()> released;
  };

  FileBlobWriter(const FileCalls& calls, Setup setup) : calls_(calls), setup_(std::move(setup)) {}
  ~FileBlobWriter() override;

  // Opens the files and cuts off what is not durable.
  absl::Status Open();

  absl::Status Write(std::span<const uint8_t> bytes) override;
  absl::Status Sync() override;
  absl::StatusOr<BlobInfo> Finish(const BlobExpectation& expectation) override;
  absl::Status Discard() override;
  void Registered() override;
  uint64_t size_bytes() const override { return size_; }
  uint64_t committed_bytes() const override { return setup_.open->committed.load(); }
  Sha256Digest sha256() const override { return hash_.Digest(); }
  bool complete() const override { return complete_; }
  const std::string& key() const override { return setup_.key; }

 private:
  absl::Status OpenFiles();
  absl::Status OpenWhole(const Fd& whole);
  // Goes on after `section`.
  absl::Status ResumeAfter(const Section& section, const Fd& fd, const std::string& path);
  absl::Status HashFile(const Fd& fd, const std::string& path, uint64_t size);
  absl::Status Append(std::span<const uint8_t> bytes);
  absl::Status CheckFits(const BlobExpectation& expectation) const;
  // Remembers the first error; afterwards nothing is written.
  absl::Status Broken(absl::Status status);

  const FileCalls calls_;
  const Setup setup_;
  Fd data_;
  Fd sections_file_;
  size_t section_count_ = 0;
  uint32_t section_crc_ = 0;
  uint64_t size_ = 0;
  // Where write-back was last started.
  uint64_t flushed_ = 0;
  // Monotonic.
  absl::Duration synced_;
  Sha256 hash_;
  // The file has its final name.
  bool complete_ = false;
  // Finish was OK.
  bool finished_ = false;
  bool discarded_ = false;
  // The folder knows the partial file also after a power cut.
  bool folder_synced_ = false;
  absl::Status broken_;
};

}  // namespace histeq::store
