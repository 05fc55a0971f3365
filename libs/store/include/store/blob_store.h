#pragma once

// Where the bytes of images lie: whole blobs, written once, read often, and partial ones that can
// be continued after a broken connection or a crash.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/byte_stream.h"
#include "store/sha256.h"

namespace histeq::store {

// What a finished blob is.
struct BlobInfo {
  // URI for the catalog: "blob:", the key, and what else the store needs to find it.
  std::string location;
  uint64_t size_bytes = 0;
  Sha256Digest sha256{};
};

// What the sender says the whole blob must be; absent: not known.
struct BlobExpectation {
  std::optional<uint64_t> size_bytes;
  std::optional<Sha256Digest> sha256;
};

// The only writer of one blob. One thread at a time. Holds the key until destroyed, also after
// Finish: destroy it after the catalog knows the blob. Destroyed unfinished, it makes what was
// written durable and leaves the partial blob to be continued; a writer made by CreateBlob
// discards it instead.
class BlobWriter : public base::ByteSink {
 public:
  // Appends. Makes the bytes durable every few MiB and seconds by itself. After an error only
  // Discard and the destructor are useful; what is then committed can be continued by OpenPartial.
  // - RESOURCE_EXHAUSTED DISK_FULL: the disk, the quota, or the reserve of free space is used up
  //   (limit, the free bytes, unless it is a quota; actual, the bytes wanted; reserve).
  // - FAILED_PRECONDITION BLOB_COMPLETE: the blob was finished before.
  // - INTERNAL STORE_IO: any other failure of the disk.
  absl::Status Write(std::span<const uint8_t> bytes) override = 0;

  // Makes all written bytes durable. Errors as Write.
  virtual absl::Status Sync() = 0;

  // Checks size and checksum, makes the blob durable and visible. Calling it again gives the same
  // answer. When the partial blob does not fit it is discarded (a blob that was already complete
  // stays), with
  // - DATA_LOSS SIZE_MISMATCH or CHECKSUM_MISMATCH (metadata expected, actual).
  // Errors of the disk as Write; what is committed stays then.
  virtual absl::StatusOr<BlobInfo> Finish(const BlobExpectation& expectation) = 0;

  // Deletes what was written, finished or not.
  virtual absl::Status Discard() = 0;

  // The catalog knows the finished blob: it will not be opened here again, and what is kept for
  // that goes.
  virtual void Registered() = 0;

  // Bytes written so far: where the next Write goes.
  virtual uint64_t size_bytes() const = 0;
  // Bytes that survive a crash or a power cut.
  virtual uint64_t committed_bytes() const = 0;
  // The checksum of the bytes so far, those of earlier writers included.
  virtual Sha256Digest sha256() const = 0;
  // Finished by an earlier writer whose caller did not live to register it.
  virtual bool complete() const = 0;
  // The key to continue it under.
  virtual const std::string& key() const = 0;
};

// Bytes of a blob, and how many will come.
struct BlobReader {
  std::unique_ptr<base::ByteSource> source;
  // Bytes that `source` gives: the range cut to the blob's end.
  uint64_t size_bytes = 0;
  // The whole blob.
  uint64_t blob_bytes = 0;
};

struct BlobRange {
  uint64_t offset = 0;
  // 0: all to the end.
  uint64_t limit = 0;
  // The size that the catalog has for the blob; a blob of another size is damaged.
  std::optional<uint64_t> expected_blob_bytes;
};

// A file of the store, for the sweep.
struct BlobEntry {
  std::string key;
  // Empty: not finished.
  std::string location;
  // Not finished.
  bool partial = false;
  uint64_t size_bytes = 0;
  absl::Time modify_time;
};

// Thread-safe.
class BlobStore {
 public:
  virtual ~BlobStore() = default;

  // A new random key: 32 hexadecimal digits, never derived from a name.
  virtual std::string NewKey() = 0;

  // A writer at the end of the committed bytes of `key`'s partial blob, which is made when there is
  // none. What a crash left half-written is cut off first. `expected_bytes` is checked against the
  // free space, and what is missing of it is kept free for this writer as long as it is open.
  // - INVALID_ARGUMENT: not a key of NewKey's form.
  // - ABORTED UPLOAD_BUSY: another writer of this key is open.
  // - RESOURCE_EXHAUSTED DISK_FULL, INTERNAL STORE_IO.
  virtual absl::StatusOr<std::unique_ptr<BlobWriter>> OpenPartial(
      const std::string& key, std::optional<uint64_t> expected_bytes) = 0;

  // A writer of a new blob that nobody will continue: discarded unless finished.
  virtual absl::StatusOr<std::unique_ptr<BlobWriter>> CreateBlob(
      std::optional<uint64_t> expected_bytes) = 0;

  // Bytes of `key` that are stored durably, finished or partial; 0 when there are none. While a
  // writer is open: what it has committed. Reads none of them, however many they are; OpenPartial
  // looks at the last ones and goes back further when these were damaged. Of a finished blob that
  // was Registered it need not know any more.
  virtual absl::StatusOr<uint64_t> CommittedBytes(const std::string& key) = 0;

  // What is stored under `key`, partial or finished and not Registered, without reading it; nothing
  // when there is nothing.
  virtual absl::StatusOr<std::optional<BlobEntry>> Find(const std::string& key) = 0;

  // Reads a finished blob. A blob deleted while it is read can be read to its end.
  // - DATA_LOSS BLOB_DAMAGED: missing, or not of the expected size; also from the source, when the
  //   file ends early.
  // - OUT_OF_RANGE: offset beyond the end (offset == size gives an empty source).
  // - INVALID_ARGUMENT: a location of another kind.
  virtual absl::StatusOr<BlobReader> OpenRead(const std::string& location,
                                              const BlobRange& range) = 0;

  // Deletes a finished blob. One that does not exist is OK.
  virtual absl::Status Delete(const std::string& location) = 0;

  // Deletes what Find finds under `key`. OK when there is nothing. `allow` is asked
  // first, while no writer of the key can be opened; its error is returned and nothing deleted.
  // - ABORTED UPLOAD_BUSY: a writer is open.
  virtual absl::Status DeleteKey(const std::string& key,
                                 const std::function<absl::Status()>& allow) = 0;

  // Deletes what `entry` says, which comes from ForEach, and nothing else of its key: a partial
  // blob that is finished by now stays. Otherwise as DeleteKey.
  virtual absl::Status DeleteEntry(const BlobEntry& entry,
                                   const std::function<absl::Status()>& allow) = 0;

  // Calls `visit` for every blob and partial blob, in no order, until it returns an error.
  virtual absl::Status ForEach(const std::function<absl::Status(const BlobEntry&)>& visit) = 0;

  // OK when a blob of `bytes` would be accepted now, beside what open writers still expect
  // (metadata promised); else RESOURCE_EXHAUSTED DISK_FULL.
  virtual absl::Status CheckSpace(uint64_t bytes) = 0;
};

}  // namespace histeq::store
