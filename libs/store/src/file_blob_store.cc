#include "store/file_blob_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/hex.h"
#include "base/memory_source.h"
#include "base/status_macros.h"
#include "file_blob_writer.h"
#include "file_calls.h"
#include "pack_files.h"
#include "random_id.h"
#include "sections.h"
#include "store_error.h"

namespace histeq::store {
namespace {

constexpr char kScheme[] = "blob:";
constexpr char kPartialEnding[] = ".partial";
constexpr char kSectionsEnding[] = ".sections";
constexpr size_t kKeyDigits = 32;

bool IsKey(const std::string& key) {
  return key.size() == kKeyDigits && std::all_of(key.begin(), key.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

absl::Status Damaged(const std::string& location, const std::string& what) {
  return StoreError(absl::StatusCode::kDataLoss, "BLOB_DAMAGED",
                    fmt::format("the stored bytes of {} {}", location, what),
                    {{"location", location}});
}

// A range of an open file.
class FileSource final : public base::ByteSource {
 public:
  FileSource(Fd file, std::string location, uint64_t offset, uint64_t size)
      : file_(std::move(file)), location_(std::move(location)), offset_(offset), left_(size) {}

  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    const std::span<uint8_t> wanted = buffer.first(std::min<uint64_t>(buffer.size(), left_));
    if (wanted.empty()) return size_t{0};
    HISTEQ_ASSIGN_OR_RETURN(const size_t size,
                            FileCalls::ReadAt(file_, offset_, wanted, location_));
    if (size < wanted.size()) {
      return Damaged(location_, fmt::format("end at {} bytes, {} more were expected",
                                            offset_ + size, left_ - size));
    }
    offset_ += size;
    left_ -= size;
    return size;
  }

 private:
  const Fd file_;
  const std::string location_;
  uint64_t offset_;
  uint64_t left_;
};

// A range of bytes that it holds.
class BytesSource final : public base::ByteSource {
 public:
  BytesSource(std::vector<uint8_t> bytes, uint64_t offset, uint64_t size)
      : bytes_(std::move(bytes)), range_(std::span(bytes_).subspan(offset, size)) {}

  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override { return range_.Read(buffer); }

 private:
  const std::vector<uint8_t> bytes_;
  base::MemorySource range_;
};

struct BlobPlace {
  std::string key;
  // Of a packed blob.
  std::optional<PackPlace> packed;
};

// Digits as LocationOfBlob writes them, in one way only.
std::optional<uint64_t> ParseNumber(const std::string& digits) {
  // Beyond them offsets of files end.
  if (digits.size() > 15 || (digits.size() > 1 && digits.front() == '0')) return std::nullopt;
  return base::ParseHex(digits);
}

absl::StatusOr<BlobPlace> ParseBlobLocation(const std::string& location) {
  const std::string scheme = kScheme;
  BlobPlace place;
  bool good = location.compare(0, scheme.size(), scheme) == 0;
  if (good) {
    const size_t at = location.find('@');
    place.key = location.substr(scheme.size(), at == std::string::npos ? at : at - scheme.size());
    good = IsKey(place.key);
    if (good && at != std::string::npos) {
      const size_t dot = std::min(location.find('.', at), location.size());
      const auto pack = ParseNumber(location.substr(at + 1, dot - at - 1));
      const auto offset = ParseNumber(location.substr(std::min(dot + 1, location.size())));
      good = pack.has_value() && offset.has_value() && *offset % kPackBlockBytes == 0;
      if (good) place.packed = PackPlace{*pack, *offset};
    }
  }
  if (good) return place;
  return StoreError(absl::StatusCode::kInvalidArgument, "BAD_LOCATION",
                    fmt::format("{} is not a blob of this store", location));
}

// The range of a blob of `blob_bytes` that is asked for.
absl::StatusOr<BlobReader> CutRange(const std::string& location, uint64_t blob_bytes,
                                    const BlobRange& range) {
  if (range.expected_blob_bytes.value_or(blob_bytes) != blob_bytes) {
    return Damaged(location, fmt::format("are {} where {} were registered", blob_bytes,
                                         *range.expected_blob_bytes));
  }
  if (range.offset > blob_bytes) {
    return StoreError(
        absl::StatusCode::kOutOfRange, "OFFSET_BEYOND_END",
        fmt::format("offset {} is beyond the end of {} bytes", range.offset, blob_bytes),
        {{"limit", std::to_string(blob_bytes)}, {"actual", std::to_string(range.offset)}});
  }
  BlobReader reader;
  reader.blob_bytes = blob_bytes;
  reader.size_bytes = blob_bytes - range.offset;
  if (range.limit != 0) reader.size_bytes = std::min(reader.size_bytes, range.limit);
  return reader;
}

class FileBlobStore final : public BlobStore {
 public:
  FileBlobStore(std::string folder, FileBlobStoreOptions options)
      : folder_(std::move(folder)), options_(std::move(options)), calls_(options_.fault) {}

  absl::Status Open() {
    HISTEQ_RETURN_IF_ERROR(MakeFolders());
    if (options_.max_packed_bytes == 0 && access((folder_ + "/packs").c_str(), F_OK) != 0) {
      return absl::OkStatus();
    }
    HISTEQ_ASSIGN_OR_RETURN(packs_,
                            PackFiles::Open(folder_ + "/packs", calls_, options_.max_pack_bytes));
    HISTEQ_RETURN_IF_ERROR(calls_.SyncFolder(folder_));
    HISTEQ_ASSIGN_OR_RETURN(const std::vector<PackRecord> newest, packs_->Newest());
    for (const PackRecord& record : newest) unregistered_[record.key] = record;
    return absl::OkStatus();
  }

  absl::Status MakeFolders() const {
    if (mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) {
      return IoError(errno, fmt::format("folder {} cannot be made", folder_));
    }
    for (int i = 0; i < 256; ++i) {
      const std::string path = fmt::format("{}/{:02x}", folder_, i);
      if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
        return IoError(errno, fmt::format("folder {} cannot be made", path));
      }
    }
    // Also when all were there: who made them may not have lived to do this.
    HISTEQ_RETURN_IF_ERROR(calls_.SyncFolder(folder_));
    return calls_.SyncFolder(folder_ + "/..");
  }

  std::string NewKey() override { return RandomHex128(); }

  absl::StatusOr<std::unique_ptr<BlobWriter>> OpenPartial(
      const std::string& key, std::optional<uint64_t> expected_bytes) override {
    return OpenWriter(key, expected_bytes, false);
  }

  absl::StatusOr<std::unique_ptr<BlobWriter>> CreateBlob(
      std::optional<uint64_t> expected_bytes) override {
    return OpenWriter(NewKey(), expected_bytes, true);
  }

  absl::StatusOr<uint64_t> CommittedBytes(const std::string& key) override {
    HISTEQ_RETURN_IF_ERROR(CheckKey(key));
    {
      const std::lock_guard lock(mutex_);
      if (const auto it = writing_.find(key); it != writing_.end()) {
        const uint64_t bytes = it->second->committed.load();
        if (bytes != kUnknownBytes) return bytes;
      }
    }
    const BlobPaths paths = PathsOf(key);
    HISTEQ_ASSIGN_OR_RETURN(const std::optional<BlobEntry> entry, Find(key));
    if (!entry.has_value()) return uint64_t{0};
    if (!entry->partial) return entry->size_bytes;
    HISTEQ_ASSIGN_OR_RETURN(std::vector<Section> sections, ReadSections(paths.sections));
    while (!sections.empty() && sections.back().end > entry->size_bytes) sections.pop_back();
    return sections.empty() ? uint64_t{0} : sections.back().end;
  }

  absl::StatusOr<std::optional<BlobEntry>> Find(const std::string& key) override {
    HISTEQ_RETURN_IF_ERROR(CheckKey(key));
    {
      const std::lock_guard lock(mutex_);
      if (const auto it = unregistered_.find(key); it != unregistered_.end()) {
        return EntryOf(it->second);
      }
    }
    const BlobPaths paths = PathsOf(key);
    // The partial file first: a blob finished meanwhile is found under its final name.
    for (const bool partial : {true, false}) {
      const std::string& path = partial ? paths.partial : paths.whole;
      struct stat info {};
      if (lstat(path.c_str(), &info) == 0) return EntryOf(key, partial, info);
      if (errno != ENOENT) return IoError(errno, fmt::format("file {} cannot be looked at", path));
    }
    return std::optional<BlobEntry>();
  }

  absl::StatusOr<BlobReader> OpenRead(const std::string& location,
                                      const BlobRange& range) override {
    HISTEQ_ASSIGN_OR_RETURN(const BlobPlace place, ParseBlobLocation(location));
    if (place.packed.has_value()) {
      if (packs_ == nullptr) return Damaged(location, "are missing");
      HISTEQ_ASSIGN_OR_RETURN(std::vector<uint8_t> bytes, packs_->Read(place.key, *place.packed));
      HISTEQ_ASSIGN_OR_RETURN(BlobReader reader, CutRange(location, bytes.size(), range));
      reader.source =
          std::make_unique<BytesSource>(std::move(bytes), range.offset, reader.size_bytes);
      return reader;
    }
    Fd file(open(PathsOf(place.key).whole.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    struct stat info {};
    if (!file.open() || fstat(file.get(), &info) != 0) {
      if (errno == ENOENT) return Damaged(location, "are missing");
      return IoError(errno, fmt::format("{} cannot be opened", location));
    }
    HISTEQ_ASSIGN_OR_RETURN(BlobReader reader,
                            CutRange(location, static_cast<uint64_t>(info.st_size), range));
    posix_fadvise(file.get(), static_cast<off_t>(range.offset),
                  static_cast<off_t>(reader.size_bytes), POSIX_FADV_SEQUENTIAL);
    reader.source =
        std::make_unique<FileSource>(std::move(file), location, range.offset, reader.size_bytes);
    return reader;
  }

  absl::Status Delete(const std::string& location) override {
    HISTEQ_ASSIGN_OR_RETURN(const BlobPlace place, ParseBlobLocation(location));
    return DeleteAt(place);
  }

  absl::Status DeleteKey(const std::string& key,
                         const std::function<absl::Status()>& allow) override {
    HISTEQ_RETURN_IF_ERROR(CheckKey(key));
    HISTEQ_RETURN_IF_ERROR(Claim(key).status());
    absl::Status status = allow();
    if (status.ok()) status = FileCalls::Remove(PathsOf(key).partial);
    if (status.ok()) status = DeleteAt({key, FindPacked(key)});
    if (status.ok()) status = DeleteAt({key, std::nullopt});
    Release(key);
    return status;
  }

  absl::Status DeleteEntry(const BlobEntry& entry,
                           const std::function<absl::Status()>& allow) override {
    if (entry.location.empty()) return DeletePartial(entry.key, allow);
    HISTEQ_ASSIGN_OR_RETURN(const BlobPlace place, ParseBlobLocation(entry.location));
    HISTEQ_RETURN_IF_ERROR(Claim(place.key).status());
    absl::Status status = allow();
    if (status.ok()) status = DeleteAt(place);
    Release(place.key);
    return status;
  }

  absl::Status ForEach(const std::function<absl::Status(const BlobEntry&)>& visit) override {
    for (int i = 0; i < 256; ++i) {
      HISTEQ_RETURN_IF_ERROR(ForEachIn(fmt::format("{}/{:02x}", folder_, i), visit));
    }
    if (packs_ == nullptr) return absl::OkStatus();
    return packs_->ForEach([&visit](const PackRecord& record) { return visit(EntryOf(record)); });
  }

  absl::Status CheckSpace(uint64_t bytes) override {
    const std::lock_guard lock(mutex_);
    return CheckFree(bytes, Awaited());
  }

 private:
  // What open writers still expect. Under the lock.
  uint64_t Awaited() const {
    uint64_t bytes = 0;
    for (const auto& [key, open] : writing_) bytes += open->awaited.load();
    return bytes;
  }

  // OK while the disk has `bytes` beyond the reserve and what is promised to others.
  absl::Status CheckFree(uint64_t bytes, uint64_t promised) const {
    struct statvfs info {};
    if (statvfs(folder_.c_str(), &info) != 0) {
      return IoError(errno, fmt::format("the free space of {} cannot be read", folder_));
    }
    const uint64_t free_bytes = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
    const uint64_t held = options_.reserve_bytes + promised;
    if (free_bytes >= held && free_bytes - held >= bytes) return absl::OkStatus();
    return StoreError(
        absl::StatusCode::kResourceExhausted, "DISK_FULL",
        fmt::format("the server's disk is full: {} bytes are free, {} are needed, {} more are "
                    "held in reserve and {} for files that are being written",
                    free_bytes, bytes, options_.reserve_bytes, promised),
        {{"limit", std::to_string(free_bytes)},
         {"actual", std::to_string(bytes)},
         {"reserve", std::to_string(options_.reserve_bytes)},
         {"promised", std::to_string(promised)}});
  }

  // What is finished by now is another entry.
  absl::Status DeletePartial(const std::string& key, const std::function<absl::Status()>& allow) {
    HISTEQ_RETURN_IF_ERROR(CheckKey(key));
    HISTEQ_RETURN_IF_ERROR(Claim(key).status());
    absl::Status status = allow();
    const BlobPaths paths = PathsOf(key);
    if (status.ok()) status = FileCalls::Remove(paths.partial);
    // A finished blob needs its own.
    if (status.ok() && access(paths.whole.c_str(), F_OK) != 0) {
      status = FileCalls::Remove(paths.sections);
    }
    Release(key);
    return status;
  }

  absl::Status DeleteAt(const BlobPlace& place) {
    if (place.packed.has_value()) {
      if (packs_ == nullptr) return absl::OkStatus();
      SetPacked(place.key, nullptr);
      return packs_->Delete(place.key, *place.packed);
    }
    const BlobPaths paths = PathsOf(place.key);
    HISTEQ_RETURN_IF_ERROR(FileCalls::Remove(paths.sections));
    return FileCalls::Remove(paths.whole);
  }

  std::optional<PackPlace> FindPacked(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto it = unregistered_.find(key);
    if (it == unregistered_.end()) return std::nullopt;
    return it->second.place;
  }

  void SetPacked(const std::string& key, const PackRecord* record) {
    const std::lock_guard lock(mutex_);
    if (record == nullptr) {
      unregistered_.erase(key);
    } else {
      unregistered_[key] = *record;
    }
  }

  static BlobEntry EntryOf(const PackRecord& record) {
    BlobEntry entry;
    entry.key = record.key;
    entry.location = LocationOfBlob(record.key, record.place);
    entry.size_bytes = record.size_bytes;
    entry.modify_time = record.modify_time;
    return entry;
  }

  static BlobEntry EntryOf(const std::string& key, bool partial, const struct stat& info) {
    BlobEntry entry;
    entry.key = key;
    if (!partial) entry.location = LocationOfBlob(key, std::nullopt);
    entry.partial = partial;
    entry.size_bytes = static_cast<uint64_t>(info.st_size);
    entry.modify_time = absl::TimeFromTimespec(info.st_mtim);
    return entry;
  }

  static absl::Status CheckKey(const std::string& key) {
    if (IsKey(key)) return absl::OkStatus();
    return StoreError(absl::StatusCode::kInvalidArgument, "BAD_BLOB_KEY",
                      "a blob's key is 32 hexadecimal digits");
  }

  BlobPaths PathsOf(const std::string& key) const {
    BlobPaths paths;
    paths.folder = folder_ + "/" + key.substr(0, 2);
    paths.whole = paths.folder + "/" + key;
    paths.partial = paths.whole + kPartialEnding;
    paths.sections = paths.whole + kSectionsEnding;
    return paths;
  }

  absl::StatusOr<std::shared_ptr<OpenBlob>> Claim(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto [it, added] = writing_.try_emplace(key, nullptr);
    if (!added) {
      return StoreError(absl::StatusCode::kAborted, "UPLOAD_BUSY",
                        "another call is writing this blob now");
    }
    it->second = std::make_shared<OpenBlob>();
    return it->second;
  }

  void Release(const std::string& key) {
    const std::lock_guard lock(mutex_);
    writing_.erase(key);
  }

  absl::StatusOr<std::unique_ptr<BlobWriter>> OpenWriter(const std::string& key,
                                                         std::optional<uint64_t> expected_bytes,
                                                         bool discard_unfinished) {
    HISTEQ_RETURN_IF_ERROR(CheckKey(key));
    HISTEQ_ASSIGN_OR_RETURN(const std::shared_ptr<OpenBlob> open, Claim(key));
    FileBlobWriter::Setup setup;
    setup.key = key;
    setup.paths = PathsOf(key);
    setup.fresh = discard_unfinished;
    setup.packed = FindPacked(key);
    if (setup.packed.has_value() || (packs_ != nullptr && options_.max_packed_bytes > 0 &&
                                     expected_bytes.value_or(0) <= options_.max_packed_bytes)) {
      setup.packs = packs_.get();
      setup.max_packed_bytes = options_.max_packed_bytes;
    }
    setup.sync_bytes = options_.sync_bytes;
    setup.sync_interval = options_.sync_interval;
    setup.clock = options_.clock;
    setup.discard_unfinished = discard_unfinished;
    setup.open = open;
    // What was announced was checked before; others must not take what is kept free for it.
    setup.check_space = [this, open] {
      return open->awaited.load() > 0 ? CheckFree(0, 0) : CheckSpace(0);
    };
    setup.set_packed = [this, key](const PackRecord* record) { SetPacked(key, record); };
    setup.released = [this, key] { Release(key); };
    auto writer = std::make_unique<FileBlobWriter>(calls_, std::move(setup));
    if (absl::Status status = writer->Open(); !status.ok()) return status;
    if (writer->complete()) return std::unique_ptr<BlobWriter>(std::move(writer));
    const uint64_t have = writer->size_bytes();
    const uint64_t expected = std::max(expected_bytes.value_or(have), have);
    if (absl::Status status = Reserve(*open, expected - have); !status.ok()) {
      if (have == 0) writer->Discard().IgnoreError();
      return status;
    }
    return std::unique_ptr<BlobWriter>(std::move(writer));
  }

  // Those of a finished blob wait for its registration; a day later it has come, or it never will.
  absl::Status RemoveOldSections(const std::string& path) const {
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0) return absl::OkStatus();
    const absl::Time modified = absl::TimeFromTimespec(info.st_mtim);
    if (options_.clock->Now() - modified < absl::Hours(24)) return absl::OkStatus();
    return FileCalls::Remove(path);
  }

  // Keeps `bytes` free for the writer, or says why that cannot be.
  absl::Status Reserve(OpenBlob& open, uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    HISTEQ_RETURN_IF_ERROR(CheckFree(bytes, Awaited()));
    open.awaited.store(bytes);
    return absl::OkStatus();
  }

  absl::Status ForEachIn(const std::string& folder,
                         const std::function<absl::Status(const BlobEntry&)>& visit) const {
    // The names first: `visit` may delete files.
    std::vector<std::string> names;
    DIR* dir = opendir(folder.c_str());
    if (dir == nullptr) return IoError(errno, fmt::format("folder {} cannot be read", folder));
    while (const dirent* entry = readdir(dir)) names.emplace_back(entry->d_name);
    closedir(dir);
    for (const std::string& name : names) {
      BlobEntry entry;
      entry.key = name.substr(0, kKeyDigits);
      if (!IsKey(entry.key)) continue;
      const std::string ending = name.substr(kKeyDigits);
      const BlobPaths paths = PathsOf(entry.key);
      if (ending == kSectionsEnding) {
        if (access(paths.partial.c_str(), F_OK) == 0) continue;
        if (access(paths.whole.c_str(), F_OK) == 0) {
          HISTEQ_RETURN_IF_ERROR(RemoveOldSections(paths.sections));
          continue;
        }
        // Left alone only where a crash came between two steps.
      } else if (!ending.empty() && ending != kPartialEnding) {
        continue;
      }
      struct stat info {};
      if (stat((folder + "/" + name).c_str(), &info) != 0) continue;
      HISTEQ_RETURN_IF_ERROR(visit(EntryOf(entry.key, !ending.empty(), info)));
    }
    return absl::OkStatus();
  }

  const std::string folder_;
  const FileBlobStoreOptions options_;
  const FileCalls calls_;
  // nullptr: there are none.
  std::unique_ptr<PackFiles> packs_;
  std::mutex mutex_;
  // Keys with an open writer, and what it has committed; or being deleted.
  std::map<std::string, std::shared_ptr<OpenBlob>> writing_;
  // Blobs in packs, by their keys, of which the catalog may not know; those that an earlier process
  // may have left so are in the pack that was its last.
  std::map<std::string, PackRecord> unregistered_;
};

}  // namespace

std::string LocationOfBlob(const std::string& key, const std::optional<PackPlace>& packed) {
  if (!packed.has_value()) return kScheme + key;
  return fmt::format("{}{}@{:x}.{:x}", kScheme, key, packed->pack, packed->offset);
}

absl::StatusOr<std::unique_ptr<BlobStore>> OpenFileBlobStore(const std::string& folder,
                                                             const FileBlobStoreOptions& options) {
  auto store = std::make_unique<FileBlobStore>(folder, options);
  HISTEQ_RETURN_IF_ERROR(store->Open());
  return std::unique_ptr<BlobStore>(std::move(store));
}

}  // namespace histeq::store
