#include "pack_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <random>
#include <utility>

#include "base/crc32c.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "store_error.h"

namespace histeq::store {
namespace {

constexpr char kMagic[] = "HQPACK01";
constexpr size_t kMagicBytes = 8;
constexpr size_t kKeyAt = 8;
constexpr size_t kKeyBytes = 16;
constexpr size_t kSizeAt = 24;
constexpr size_t kShaAt = 32;
constexpr size_t kBodyCrcAt = 64;
constexpr size_t kHeaderCrcAt = 68;
constexpr size_t kNameDigits = 16;

using Header = std::array<uint8_t, kPackHeaderBytes>;

void PutLittle(uint64_t value, size_t bytes, uint8_t* to) {
  for (size_t i = 0; i < bytes; ++i) to[i] = static_cast<uint8_t>(value >> (8 * i));
}

uint64_t GetLittle(const uint8_t* from, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value |= static_cast<uint64_t>(from[i]) << (8 * i);
  return value;
}

uint32_t HeaderCrc(uint64_t seed, const Header& header) {
  std::array<uint8_t, 8> secret{};
  PutLittle(seed, secret.size(), secret.data());
  return base::Crc32c(base::Crc32c(secret), {header.data(), kHeaderCrcAt});
}

Header EncodeHeader(uint64_t seed, const std::string& key, std::span<const uint8_t> bytes,
                    const Sha256Digest& sha256) {
  Header header{};
  std::memcpy(header.data(), kMagic, kMagicBytes);
  for (size_t i = 0; i < kKeyBytes; ++i) {
    header[kKeyAt + i] = static_cast<uint8_t>(base::HexDigitValue(key[2 * i]) << 4 |
                                              base::HexDigitValue(key[2 * i + 1]));
  }
  PutLittle(bytes.size(), 8, &header[kSizeAt]);
  std::copy(sha256.begin(), sha256.end(), header.begin() + kShaAt);
  PutLittle(base::Crc32c(bytes), 4, &header[kBodyCrcAt]);
  PutLittle(HeaderCrc(seed, header), 4, &header[kHeaderCrcAt]);
  return header;
}

uint64_t RecordBytes(uint64_t size) {
  const uint64_t bytes = kPackHeaderBytes + size;
  return (bytes + kPackBlockBytes - 1) / kPackBlockBytes * kPackBlockBytes;
}

absl::Status Damaged(const std::string& key, const std::string& what) {
  return StoreError(absl::StatusCode::kDataLoss, "BLOB_DAMAGED",
                    fmt::format("the stored bytes of blob:{} {}", key, what),
                    {{"location", "blob:" + key}});
}

}  // namespace

struct PackFiles::Pack {
  uint64_t number = 0;
  uint64_t seed = 0;
  std::string path;
  Fd file;
  // Where the next record goes. Under PackFiles::mutex_.
  uint64_t end_bytes = 0;
  // Nothing is appended any more, because a sync failed.
  std::atomic<bool> closed{false};

  std::mutex mutex;
  std::condition_variable changed;
  // Records whose bytes were handed to the system, and those of them that are durable.
  uint64_t written = 0;
  uint64_t synced = 0;
  bool syncing = false;
  absl::Status broken;
};

absl::StatusOr<std::unique_ptr<PackFiles>> PackFiles::Open(const std::string& folder,
                                                           const FileCalls& calls,
                                                           uint64_t max_pack_bytes) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return IoError(errno, fmt::format("folder {} cannot be made", folder));
  }
  std::unique_ptr<PackFiles> packs(new PackFiles(folder, calls, max_pack_bytes));
  HISTEQ_RETURN_IF_ERROR(packs->List());
  return packs;
}

absl::Status PackFiles::List() {
  DIR* dir = opendir(folder_.c_str());
  if (dir == nullptr) return IoError(errno, fmt::format("folder {} cannot be read", folder_));
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name.size() != 2 * kNameDigits + 1 || name[kNameDigits] != '-') continue;
    const auto number = base::ParseHex(name.substr(0, kNameDigits));
    const auto seed = base::ParseHex(name.substr(kNameDigits + 1));
    if (number.has_value() && seed.has_value()) packs_[*number].seed = *seed;
  }
  closedir(dir);
  for (auto it = packs_.begin(); it != packs_.end();) {
    const std::string path = PathOf(it->first, it->second.seed);
    struct stat info {};
    // Of the newest the number is remembered by its file.
    const bool empty =
        lstat(path.c_str(), &info) == 0 && info.st_blocks == 0 && std::next(it) != packs_.end();
    if (empty) HISTEQ_RETURN_IF_ERROR(FileCalls::Remove(path));
    it = empty ? packs_.erase(it) : std::next(it);
  }
  return absl::OkStatus();
}

std::string PackFiles::PathOf(uint64_t pack, uint64_t seed) const {
  return fmt::format("{}/{:016x}-{:016x}", folder_, pack, seed);
}

absl::Status PackFiles::StartPack() {
  std::random_device random;
  auto pack = std::make_shared<Pack>();
  pack->number = packs_.empty() ? 1 : packs_.rbegin()->first + 1;
  pack->seed = static_cast<uint64_t>(random()) << 32 | random();
  pack->path = PathOf(pack->number, pack->seed);
  HISTEQ_ASSIGN_OR_RETURN(pack->file, calls_.Open(pack->path, true));
  absl::Status status = calls_.MakeHole(pack->file, 0, kPackBlockBytes, pack->path);
  unsupported_ = absl::IsUnimplemented(status);
  if (status.ok()) status = calls_.SyncFolder(folder_);
  if (!status.ok()) {
    FileCalls::Remove(pack->path).IgnoreError();
    return status;
  }
  packs_[pack->number] = {pack->seed, pack};
  active_ = std::move(pack);
  return absl::OkStatus();
}

absl::StatusOr<PackPlace> PackFiles::Append(const std::string& key, std::span<const uint8_t> bytes,
                                            const Sha256Digest& sha256) {
  std::shared_ptr<Pack> pack;
  uint64_t offset = 0;
  const uint64_t record_bytes = RecordBytes(bytes.size());
  {
    const std::lock_guard lock(mutex_);
    if (unsupported_) return absl::UnimplementedError("the file system makes no holes");
    if (active_ == nullptr || active_->closed ||
        (active_->end_bytes > 0 && active_->end_bytes + record_bytes > max_pack_bytes_)) {
      HISTEQ_RETURN_IF_ERROR(StartPack());
    }
    pack = active_;
    offset = pack->end_bytes;
    pack->end_bytes += record_bytes;
  }
  const Header header = EncodeHeader(pack->seed, key, bytes, sha256);
  absl::Status status = calls_.WriteAt(pack->file, offset, header, pack->path);
  if (status.ok()) {
    status = calls_.WriteAt(pack->file, offset + kPackHeaderBytes, bytes, pack->path);
  }
  uint64_t append = 0;
  if (status.ok()) {
    const std::lock_guard lock(pack->mutex);
    append = ++pack->written;
  }
  if (status.ok()) status = SyncUpTo(*pack, append);
  if (!status.ok()) {
    const std::unique_lock hole(holes_);
    calls_.MakeHole(pack->file, offset, record_bytes, pack->path).IgnoreError();
    return status;
  }
  return PackPlace{pack->number, offset};
}

absl::Status PackFiles::SyncUpTo(Pack& pack, uint64_t append) const {
  std::unique_lock lock(pack.mutex);
  while (pack.synced < append) {
    HISTEQ_RETURN_IF_ERROR(pack.broken);
    if (pack.syncing) {
      pack.changed.wait(lock);
      continue;
    }
    // One syncs for all whose bytes are there; who comes meanwhile waits for the next.
    pack.syncing = true;
    const uint64_t covered = pack.written;
    lock.unlock();
    absl::Status status = calls_.Sync(pack.file, pack.path);
    lock.lock();
    pack.syncing = false;
    if (status.ok()) {
      pack.synced = covered;
    } else {
      // After a failed sync nobody knows what the disk has.
      pack.broken = std::move(status);
      pack.closed = true;
    }
    pack.changed.notify_all();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<PackFiles::Opened>> PackFiles::OpenPack(uint64_t pack) {
  Opened opened;
  {
    const std::lock_guard lock(mutex_);
    const auto it = packs_.find(pack);
    if (it == packs_.end()) return std::optional<Opened>();
    opened.seed = it->second.seed;
  }
  opened.path = PathOf(pack, opened.seed);
  absl::StatusOr<Fd> file = calls_.Open(opened.path, false);
  if (!file.ok()) {
    // Emptied and removed a moment ago.
    if (access(opened.path.c_str(), F_OK) != 0 && errno == ENOENT) return std::optional<Opened>();
    return file.status();
  }
  opened.file = *std::move(file);
  return std::optional<Opened>(std::move(opened));
}

absl::StatusOr<std::optional<PackRecord>> PackFiles::ReadHeader(const Opened& pack,
                                                                uint64_t offset) const {
  Header header;
  HISTEQ_ASSIGN_OR_RETURN(const size_t got,
                          FileCalls::ReadAt(pack.file, offset, header, pack.path));
  if (got < header.size() || std::memcmp(header.data(), kMagic, kMagicBytes) != 0 ||
      GetLittle(&header[kHeaderCrcAt], 4) != HeaderCrc(pack.seed, header)) {
    return std::optional<PackRecord>();
  }
  PackRecord record;
  record.key = base::ToHex({reinterpret_cast<const char*>(&header[kKeyAt]), kKeyBytes});
  record.place.offset = offset;
  record.size_bytes = GetLittle(&header[kSizeAt], 8);
  std::copy_n(header.begin() + kShaAt, record.sha256.size(), record.sha256.begin());
  record.body_crc = static_cast<uint32_t>(GetLittle(&header[kBodyCrcAt], 4));
  return std::optional<PackRecord>(std::move(record));
}

absl::StatusOr<std::vector<uint8_t>> PackFiles::Read(const std::string& key,
                                                     const PackPlace& place) {
  HISTEQ_ASSIGN_OR_RETURN(const auto pack, OpenPack(place.pack));
  if (!pack.has_value()) return Damaged(key, "are missing");
  std::vector<uint8_t> bytes;
  {
    const std::shared_lock no_holes(holes_);
    HISTEQ_ASSIGN_OR_RETURN(const auto record, ReadHeader(*pack, place.offset));
    if (!record.has_value() || record->key != key) return Damaged(key, "are missing");
    bytes.resize(record->size_bytes);
    HISTEQ_ASSIGN_OR_RETURN(
        const size_t got,
        FileCalls::ReadAt(pack->file, place.offset + kPackHeaderBytes, bytes, pack->path));
    if (got == bytes.size() && base::Crc32c(bytes) == record->body_crc) return bytes;
  }
  return Damaged(key, "are not those that were written");
}

absl::Status PackFiles::Delete(const std::string& key, const PackPlace& place) {
  HISTEQ_ASSIGN_OR_RETURN(const auto pack, OpenPack(place.pack));
  if (!pack.has_value()) return absl::OkStatus();
  {
    const std::unique_lock hole(holes_);
    HISTEQ_ASSIGN_OR_RETURN(const auto record, ReadHeader(*pack, place.offset));
    if (!record.has_value() || record->key != key) return absl::OkStatus();
    HISTEQ_RETURN_IF_ERROR(
        calls_.MakeHole(pack->file, place.offset, RecordBytes(record->size_bytes), pack->path));
  }
  RemoveIfEmpty(place.pack, *pack);
  return absl::OkStatus();
}

void PackFiles::RemoveIfEmpty(uint64_t pack, const Opened& opened) {
  const std::lock_guard lock(mutex_);
  const auto it = packs_.find(pack);
  if (it == packs_.end() || std::next(it) == packs_.end() || !it->second.appended.expired()) return;
  struct stat info {};
  if (fstat(opened.file.get(), &info) != 0 || info.st_blocks > 0) return;
  if (FileCalls::Remove(opened.path).ok()) packs_.erase(it);
}

absl::Status PackFiles::ForEach(const std::function<absl::Status(const PackRecord&)>& visit) {
  std::vector<uint64_t> numbers;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [number, known] : packs_) numbers.push_back(number);
  }
  for (const uint64_t number : numbers) HISTEQ_RETURN_IF_ERROR(ForEachIn(number, visit));
  return absl::OkStatus();
}

absl::Status PackFiles::ForEachIn(uint64_t number,
                                  const std::function<absl::Status(const PackRecord&)>& visit) {
  HISTEQ_ASSIGN_OR_RETURN(const auto pack, OpenPack(number));
  if (!pack.has_value()) return absl::OkStatus();
  struct stat info {};
  if (fstat(pack->file.get(), &info) != 0) {
    return IoError(errno, fmt::format("file {} cannot be looked at", pack->path));
  }
  const absl::Time modified = absl::TimeFromTimespec(info.st_mtim);
  uint64_t offset = 0;
  while (true) {
    const off_t data = lseek(pack->file.get(), static_cast<off_t>(offset), SEEK_DATA);
    if (data < 0) {
      if (errno == ENXIO) return absl::OkStatus();
      return IoError(errno, fmt::format("file {} cannot be read", pack->path));
    }
    offset = static_cast<uint64_t>(data) / kPackBlockBytes * kPackBlockBytes;
    HISTEQ_ASSIGN_OR_RETURN(auto record, ReadHeader(*pack, offset));
    if (!record.has_value()) {
      // What a crash left of one.
      offset += kPackBlockBytes;
      continue;
    }
    record->place.pack = number;
    record->modify_time = modified;
    HISTEQ_RETURN_IF_ERROR(visit(*record));
    offset += RecordBytes(record->size_bytes);
  }
}

absl::StatusOr<std::vector<PackRecord>> PackFiles::Newest() {
  uint64_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    if (packs_.empty()) return std::vector<PackRecord>();
    number = packs_.rbegin()->first;
  }
  std::vector<PackRecord> records;
  HISTEQ_RETURN_IF_ERROR(ForEachIn(number, [&records](const PackRecord& record) {
    records.push_back(record);
    return absl::OkStatus();
  }));
  return records;
}

}  // namespace histeq::store
