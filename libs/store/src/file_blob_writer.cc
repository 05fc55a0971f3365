#include "file_blob_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/crc32c.h"
#include "base/status_macros.h"
#include "store_error.h"

namespace histeq::store {
namespace {

constexpr size_t kReadBytes = 1 << 20;
// Write-back is started, and the free space looked at, after this many bytes.
constexpr uint64_t kFlushBytes = 8 << 20;

}  // namespace

FileBlobWriter::~FileBlobWriter() {
  if (!finished_ && !discarded_ && setup_.discard_unfinished) {
    Discard().IgnoreError();
  } else if (!complete_ && !discarded_ && broken_.ok() && size_ > committed_bytes()) {
    Sync().IgnoreError();
  }
  setup_.released();
}

absl::Status FileBlobWriter::Open() {
  synced_ = setup_.clock->Monotonic();
  const absl::Status status = OpenFiles();
  return status.ok() ? status : Broken(status);
}

absl::Status FileBlobWriter::OpenFiles() {
  if (setup_.packed.has_value()) {
    const absl::Status status = OpenPacked();
    if (!absl::IsDataLoss(status)) return status;
    // It cannot be used: it is sent again.
    setup_.packs->Delete(setup_.key, *setup_.packed).IgnoreError();
    setup_.set_packed(nullptr);
  }
  if (!setup_.fresh) {
    if (Fd whole(open(setup_.paths.whole.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        whole.open()) {
      return OpenWhole(whole);
    }
  }
  if (setup_.packs == nullptr ||
      (!setup_.fresh && access(setup_.paths.partial.c_str(), F_OK) == 0)) {
    return OpenPartial();
  }
  buffering_ = true;
  setup_.open->committed.store(0);
  return absl::OkStatus();
}

absl::Status FileBlobWriter::OpenPacked() {
  HISTEQ_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes,
                          setup_.packs->Read(setup_.key, *setup_.packed));
  hash_.Update(bytes);
  size_ = bytes.size();
  packed_ = setup_.packed;
  complete_ = true;
  setup_.open->committed.store(size_);
  return absl::OkStatus();
}

absl::Status FileBlobWriter::OpenPartial() {
  HISTEQ_ASSIGN_OR_RETURN(data_, calls_.Open(setup_.paths.partial, true));
  HISTEQ_ASSIGN_OR_RETURN(std::vector<Section> sections, ReadSections(setup_.paths.sections));
  HISTEQ_RETURN_IF_ERROR(DropBadSections(data_, setup_.paths.partial, sections));
  section_count_ = sections.size();
  const uint64_t good_bytes = sections.empty() ? 0 : sections.back().end;
  HISTEQ_RETURN_IF_ERROR(FileCalls::Truncate(data_, good_bytes, setup_.paths.partial));
  if (section_count_ > 0) {
    HISTEQ_ASSIGN_OR_RETURN(sections_file_, calls_.Open(setup_.paths.sections, true));
    HISTEQ_RETURN_IF_ERROR(
        FileCalls::Truncate(sections_file_, section_count_ * kSectionBytes, setup_.paths.sections));
    folder_synced_ = true;
    HISTEQ_RETURN_IF_ERROR(ResumeAfter(sections.back(), data_, setup_.paths.partial));
  } else {
    HISTEQ_RETURN_IF_ERROR(FileCalls::Remove(setup_.paths.sections));
  }
  flushed_ = size_;
  setup_.open->committed.store(size_);
  return absl::OkStatus();
}

absl::Status FileBlobWriter::OpenWhole(const Fd& whole) {
  struct stat info {};
  if (fstat(whole.get(), &info) != 0) {
    return IoError(errno, fmt::format("file {} cannot be looked at", setup_.paths.whole));
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  HISTEQ_ASSIGN_OR_RETURN(const std::vector<Section> sections, ReadSections(setup_.paths.sections));
  if (!sections.empty() && sections.back().end == size) {
    HISTEQ_RETURN_IF_ERROR(ResumeAfter(sections.back(), whole, setup_.paths.whole));
  } else {
    // So small that it was never synced before its end.
    HISTEQ_RETURN_IF_ERROR(HashFile(whole, setup_.paths.whole, size));
  }
  section_count_ = sections.size();
  // The writer that renamed it may have failed to make that durable.
  HISTEQ_RETURN_IF_ERROR(calls_.SyncFolder(setup_.paths.folder));
  complete_ = true;
  setup_.open->committed.store(size_);
  return absl::OkStatus();
}

absl::Status FileBlobWriter::ResumeAfter(const Section& section, const Fd& fd,
                                         const std::string& path) {
  size_ = section.end - section.end % Sha256::kBlockBytes;
  hash_.Resume(section.chain, size_);
  return HashFile(fd, path, section.end);
}

absl::Status FileBlobWriter::HashFile(const Fd& fd, const std::string& path, uint64_t size) {
  std::vector<uint8_t> buffer(std::min<uint64_t>(kReadBytes, size));
  while (size_ < size) {
    const std::span<uint8_t> wanted(buffer.data(), std::min<uint64_t>(size - size_, buffer.size()));
    HISTEQ_ASSIGN_OR_RETURN(const size_t got, FileCalls::ReadAt(fd, size_, wanted, path));
    if (got < wanted.size()) return IoError(EIO, fmt::format("file {} ends early", path));
    hash_.Update(wanted);
    size_ += got;
  }
  return absl::OkStatus();
}

absl::Status FileBlobWriter::Broken(absl::Status status) {
  if (broken_.ok()) broken_ = status;
  setup_.open->awaited.store(0);
  return status;
}

absl::Status FileBlobWriter::Write(std::span<const uint8_t> bytes) {
  if (complete_) {
    return StoreError(absl::StatusCode::kFailedPrecondition, "BLOB_COMPLETE",
                      fmt::format("blob {} is finished, nothing can be added", setup_.key));
  }
  HISTEQ_RETURN_IF_ERROR(broken_);
  if (absl::Status status = Append(bytes); !status.ok()) {
    // None of it is on the disk.
    if (buffering_) return Broken(std::move(status));
    // A part of the bytes may be there: cut off, the space is free again, and what came before can
    // still be kept.
    FileCalls::Truncate(data_, size_, setup_.paths.partial).IgnoreError();
    Sync().IgnoreError();
    return Broken(std::move(status));
  }
  if (size_ - committed_bytes() >= setup_.sync_bytes) return Sync();
  // Nobody continues a blob that is discarded unfinished.
  if (!setup_.discard_unfinished && setup_.clock->Monotonic() - synced_ >= setup_.sync_interval) {
    return Sync();
  }
  return absl::OkStatus();
}

absl::Status FileBlobWriter::Append(std::span<const uint8_t> bytes) {
  if (buffering_ && size_ + bytes.size() > setup_.max_packed_bytes) HISTEQ_RETURN_IF_ERROR(Spill());
  if (size_ - flushed_ >= kFlushBytes) {
    HISTEQ_RETURN_IF_ERROR(setup_.check_space());
    // The disk works while the next bytes arrive, so that the sync has little left to wait for.
    sync_file_range(data_.get(), static_cast<off_t>(flushed_), static_cast<off_t>(size_ - flushed_),
                    SYNC_FILE_RANGE_WRITE);
    flushed_ = size_;
  }
  if (buffering_) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  } else {
    HISTEQ_RETURN_IF_ERROR(calls_.WriteAt(data_, size_, bytes, setup_.paths.partial));
  }
  section_crc_ = base::Crc32c(section_crc_, bytes);
  hash_.Update(bytes);
  size_ += bytes.size();
  // On the disk it counts as used.
  const uint64_t awaited = setup_.open->awaited.load();
  setup_.open->awaited.store(awaited - std::min<uint64_t>(awaited, bytes.size()));
  return absl::OkStatus();
}

absl::Status FileBlobWriter::Spill() {
  HISTEQ_ASSIGN_OR_RETURN(data_, calls_.Open(setup_.paths.partial, true));
  if (absl::Status status = calls_.WriteAt(data_, 0, buffer_, setup_.paths.partial); !status.ok()) {
    FileCalls::Remove(setup_.paths.partial).IgnoreError();
    return status;
  }
  buffering_ = false;
  buffer_ = {};
  return absl::OkStatus();
}

absl::Status FileBlobWriter::Sync() {
  HISTEQ_RETURN_IF_ERROR(broken_);
  if (complete_ || size_ == committed_bytes()) return absl::OkStatus();
  if (buffering_) {
    if (absl::Status status = Spill(); !status.ok()) return Broken(std::move(status));
  }
  // After a failed sync nobody knows what the disk has: this writer ends there.
  if (absl::Status status = calls_.Sync(data_, setup_.paths.partial); !status.ok()) {
    return Broken(std::move(status));
  }
  if (!sections_file_.open()) {
    auto file = calls_.Open(setup_.paths.sections, true);
    if (!file.ok()) return Broken(file.status());
    sections_file_ = *std::move(file);
  }
  const std::vector<uint8_t> record = EncodeSection({size_, section_crc_, hash_.Chain()});
  absl::Status status =
      calls_.WriteAt(sections_file_, section_count_ * kSectionBytes, record, setup_.paths.sections);
  if (status.ok()) status = calls_.Sync(sections_file_, setup_.paths.sections);
  if (status.ok() && !folder_synced_) status = calls_.SyncFolder(setup_.paths.folder);
  if (!status.ok()) {
    // The record may be in memory alone: it must not be found again while the system runs on.
    FileCalls::Truncate(sections_file_, section_count_ * kSectionBytes, setup_.paths.sections)
        .IgnoreError();
    return Broken(std::move(status));
  }
  folder_synced_ = true;
  ++section_count_;
  section_crc_ = 0;
  flushed_ = size_;
  synced_ = setup_.clock->Monotonic();
  setup_.open->committed.store(size_);
  return absl::OkStatus();
}

absl::Status FileBlobWriter::CheckFits(const BlobExpectation& expectation) const {
  if (expectation.size_bytes.has_value() && *expectation.size_bytes != size_) {
    return StoreError(
        absl::StatusCode::kDataLoss, "SIZE_MISMATCH",
        fmt::format("{} bytes were announced, {} arrived", *expectation.size_bytes, size_),
        {{"expected", std::to_string(*expectation.size_bytes)}, {"actual", std::to_string(size_)}});
  }
  const Sha256Digest actual = hash_.Digest();
  if (expectation.sha256.has_value() && *expectation.sha256 != actual) {
    return StoreError(absl::StatusCode::kDataLoss, "CHECKSUM_MISMATCH",
                      fmt::format("the bytes that arrived have SHA-256 {}, announced was {}",
                                  ToHex(actual), ToHex(*expectation.sha256)),
                      {{"expected", ToHex(*expectation.sha256)}, {"actual", ToHex(actual)}});
  }
  return absl::OkStatus();
}

absl::StatusOr<BlobInfo> FileBlobWriter::Finish(const BlobExpectation& expectation) {
  HISTEQ_RETURN_IF_ERROR(broken_);
  if (absl::Status status = CheckFits(expectation); !status.ok()) {
    if (!complete_) {
      Broken(status).IgnoreError();
      Discard().IgnoreError();
    }
    return status;
  }
  if (!complete_) {
    absl::Status status =
        buffering_ ? FinishPacked() : absl::UnimplementedError("it has a file of its own");
    if (absl::IsUnimplemented(status)) status = FinishFile();
    if (!status.ok()) return Broken(std::move(status));
    setup_.open->committed.store(size_);
  }
  finished_ = true;
  return BlobInfo{LocationOfBlob(setup_.key, packed_), size_, hash_.Digest()};
}

absl::Status FileBlobWriter::FinishPacked() {
  HISTEQ_ASSIGN_OR_RETURN(packed_, setup_.packs->Append(setup_.key, buffer_, hash_.Digest()));
  complete_ = true;
  buffering_ = false;
  buffer_ = {};
  // Nobody looks for it under its key.
  if (!setup_.discard_unfinished) {
    PackRecord record;
    record.key = setup_.key;
    record.place = *packed_;
    record.size_bytes = size_;
    record.modify_time = setup_.clock->Now();
    setup_.set_packed(&record);
  }
  return absl::OkStatus();
}

absl::Status FileBlobWriter::FinishFile() {
  if (buffering_) HISTEQ_RETURN_IF_ERROR(Spill());
  // Where there are sections the blob is large: with a last one nobody has to read it all to open
  // it again.
  const bool kept = section_count_ > 0 && !setup_.discard_unfinished;
  HISTEQ_RETURN_IF_ERROR(kept ? Sync() : calls_.Sync(data_, setup_.paths.partial));
  HISTEQ_RETURN_IF_ERROR(calls_.Rename(setup_.paths.partial, setup_.paths.whole));
  complete_ = true;
  HISTEQ_RETURN_IF_ERROR(calls_.SyncFolder(setup_.paths.folder));
  if (setup_.discard_unfinished) Registered();
  return absl::OkStatus();
}

void FileBlobWriter::Registered() {
  if (packed_.has_value()) {
    setup_.set_packed(nullptr);
  } else if (section_count_ > 0) {
    FileCalls::Remove(setup_.paths.sections).IgnoreError();
  }
}

absl::Status FileBlobWriter::Discard() {
  discarded_ = true;
  setup_.open->awaited.store(0);
  absl::Status removed;
  if (packed_.has_value()) {
    setup_.set_packed(nullptr);
    removed = setup_.packs->Delete(setup_.key, *packed_);
  } else if (!buffering_) {
    removed = FileCalls::Remove(complete_ ? setup_.paths.whole : setup_.paths.partial);
    HISTEQ_RETURN_IF_ERROR(FileCalls::Remove(setup_.paths.sections));
  }
  setup_.open->committed.store(0);
  if (broken_.ok()) {
    broken_ = StoreError(absl::StatusCode::kFailedPrecondition, "BLOB_DISCARDED",
                         fmt::format("blob {} was discarded", setup_.key));
  }
  return removed;
}

}  // namespace histeq::store
