#pragma once

// Images at node://NAME/path as the coordinator's logic sees them: files in its own storage roots,
// or in those of its workers.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/byte_stream.h"
#include "base/cancel.h"
#include "codec/limits.h"
#include "engine/inspect.h"
#include "engine/operation.h"
#include "engine/run_job.h"
#include "lease_table.h"

namespace histeq::coordinator {

// A file of a lease.
struct NodeFile {
  // "node://NAME/path", with its parts.
  std::string location;
  std::string storage;
  std::string path;
  // The file that is meant; absent: whatever lies there.
  std::optional<uint64_t> size_bytes;
  std::optional<absl::Time> modify_time;
  // 32 bytes, or empty: any. Compared where a worker does the file whole.
  std::string sha256;
};

// Thread-safe. Errors of all calls: those of store::FileRoot::OpenFile, DATA_LOSS SOURCE_CHANGED,
// INVALID_ARGUMENT FILE_TOO_LARGE,
// and UNAVAILABLE STORAGE_GONE when neither this coordinator nor a live worker has the storage (any
// more).
class NodeStorage {
 public:
  virtual ~NodeStorage() = default;

  // Whether the file lies in a root of this coordinator's own: then it is opened, and not given
  // away.
  virtual bool IsHere(const std::string& storage) const = 0;

  struct OpenFile {
    std::unique_ptr<base::ByteSource> source;
    // Of a file that lies here.
    std::optional<absl::Time> modify_time;
  };
  // The bytes from `offset` on, from here or from a worker.
  virtual absl::StatusOr<OpenFile> Open(const LeaseKey& key, const NodeFile& file, uint64_t offset,
                                        const base::CancelToken& token) = 0;

  struct Processed {
    engine::JobResult result;
    // For Operation::Kind::kInspect.
    std::optional<engine::InspectedFile> inspected;
  };
  // Has a worker that has the file do all of it; the results go to `sink`, one after the other.
  // - OUT_OF_RANGE TOO_LARGE_HERE: Open it. Nothing was written.
  virtual absl::StatusOr<Processed> ProcessAtWorker(const LeaseKey& key, const NodeFile& file,
                                                    const engine::Operation& operation,
                                                    const codec::DecodeLimits& limits,
                                                    base::ByteSink& sink,
                                                    const base::CancelToken& token) = 0;
};

}  // namespace histeq::coordinator
