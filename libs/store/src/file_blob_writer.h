#pragma once

// One blob on the file system, being written: kept in memory while it is small, then in a partial
// file. Finished it is a record of a pack, or a file of its own.

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "file_calls.h"
#include "pack_files.h"
#include "sections.h"
#include "store/blob_store.h"
#include "store/sha256.h"

namespace histeq::store {

// "blob:KEY" for a file, "blob:KEY@PACK.OFFSET" (hexadecimal) for a record of a pack.
std::string LocationOfBlob(const std::string& key, const std::optional<PackPlace>& packed);

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
    BlobPaths paths;
    // For blobs of up to max_packed_bytes; nullptr: for none.
    PackFiles* packs = nullptr;
    uint64_t max_packed_bytes = 0;
    // Where an earlier writer's finished blob is.
    std::optional<PackPlace> packed;
    // Nothing is stored under the key.
    bool fresh = false;
    uint64_t sync_bytes = 0;
    absl::Duration sync_interval;
    const base::Clock* clock = nullptr;
    // Discard when destroyed unfinished.
    bool discard_unfinished = false;
    std::shared_ptr<OpenBlob> open;
    // OK while the disk has room.
    std::function<absl::Status()> check_space;
    // The blob was finished in a pack, or what was said so is over.
    std::function<void(const PackRecord*)> set_packed;
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
  absl::Status OpenPacked();
  absl::Status OpenPartial();
  absl::Status OpenWhole(const Fd& whole);
  // Goes on after `section`.
  absl::Status ResumeAfter(const Section& section, const Fd& fd, const std::string& path);
  absl::Status HashFile(const Fd& fd, const std::string& path, uint64_t size);
  absl::Status Append(std::span<const uint8_t> bytes);
  // From memory to the partial file.
  absl::Status Spill();
  // From memory to a pack; UNIMPLEMENTED where there can be none.
  absl::Status FinishPacked();
  absl::Status FinishFile();
  absl::Status CheckFits(const BlobExpectation& expectation) const;
  // Remembers the first error; afterwards nothing is written.
  absl::Status Broken(absl::Status status);

  const FileCalls calls_;
  const Setup setup_;
  // All bytes so far, while there is no file.
  bool buffering_ = false;
  std::vector<uint8_t> buffer_;
  std::optional<PackPlace> packed_;
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
