#pragma once

// Small blobs, many to a file: appended, made durable together, deleted by holes.
//
// FOLDER/PACK-SEED (16 hexadecimal digits each) is one pack. A record begins at a multiple of
// kPackBlockBytes with a header of kPackHeaderBytes, little-endian, and the blob's bytes follow:
//   0 "HQPACK01"   8 key, 16 bytes   24 size, 8 bytes   32 SHA-256   64 CRC-32C of the bytes
//   68 CRC-32C of SEED (8 bytes) and header bytes 0 to 67
// SEED is random and told nobody: no uploaded bytes can pose as a record. A pack that was opened
// before is not appended to again.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "file_calls.h"
#include "store/sha256.h"

namespace histeq::store {

constexpr uint64_t kPackBlockBytes = 4096;
constexpr uint64_t kPackHeaderBytes = 72;

// Where a record is.
struct PackPlace {
  uint64_t pack = 0;
  // Of its header, in bytes.
  uint64_t offset = 0;
};

struct PackRecord {
  // 32 hexadecimal digits.
  std::string key;
  PackPlace place;
  uint64_t size_bytes = 0;
  Sha256Digest sha256{};
  // CRC-32C of the bytes.
  uint32_t body_crc = 0;
  // Of the pack.
  absl::Time modify_time;
};

// Thread-safe.
class PackFiles {
 public:
  // Makes the folder when it is missing, and removes packs in which nothing is left. A pack grows
  // to about `max_pack_bytes`.
  static absl::StatusOr<std::unique_ptr<PackFiles>> Open(const std::string& folder,
                                                         const FileCalls& calls,
                                                         uint64_t max_pack_bytes);

  // Appends a blob; it is durable when this returns. Blobs that come at the same time share a sync.
  // - UNIMPLEMENTED: the file system makes no holes.
  // - RESOURCE_EXHAUSTED DISK_FULL, INTERNAL STORE_IO.
  absl::StatusOr<PackPlace> Append(const std::string& key, std::span<const uint8_t> bytes,
                                   const Sha256Digest& sha256);

  // All bytes of the blob, compared with their checksum.
  // - DATA_LOSS BLOB_DAMAGED: there is no such record, or it is damaged.
  absl::StatusOr<std::vector<uint8_t>> Read(const std::string& key, const PackPlace& place);

  // Gives the room back. OK when there is no such record.
  absl::Status Delete(const std::string& key, const PackPlace& place);

  // Calls `visit` for every record, also those that are not durable yet, until it returns an error.
  absl::Status ForEach(const std::function<absl::Status(const PackRecord&)>& visit);

  // Those of the newest pack.
  absl::StatusOr<std::vector<PackRecord>> Newest();

 private:
  // A pack that is appended to.
  struct Pack;

  PackFiles(std::string folder, const FileCalls& calls, uint64_t max_pack_bytes)
      : folder_(std::move(folder)), calls_(calls), max_pack_bytes_(max_pack_bytes) {}

  absl::Status List();
  std::string PathOf(uint64_t pack, uint64_t seed) const;
  absl::Status StartPack();
  absl::Status SyncUpTo(Pack& pack, uint64_t append) const;
  struct Opened {
    Fd file;
    uint64_t seed = 0;
    std::string path;
  };
  // Nothing when there is no such pack.
  absl::StatusOr<std::optional<Opened>> OpenPack(uint64_t pack);
  absl::StatusOr<std::optional<PackRecord>> ReadHeader(const Opened& pack, uint64_t offset) const;
  absl::Status ForEachIn(uint64_t pack,
                         const std::function<absl::Status(const PackRecord&)>& visit);
  void RemoveIfEmpty(uint64_t pack, const Opened& opened);

  const std::string folder_;
  const FileCalls calls_;
  const uint64_t max_pack_bytes_;
  // Shared by those who read: nobody sees half a hole.
  std::shared_mutex holes_;
  std::mutex mutex_;
  struct Known {
    uint64_t seed = 0;
    // Who still appends.
    std::weak_ptr<Pack> appended;
  };
  std::map<uint64_t, Known> packs_;
  std::shared_ptr<Pack> active_;
  bool unsupported_ = false;
};

}  // namespace histeq::store
