#pragma once

// What the catalog keeps: images, uploads, jobs, coordinators. Plain values without protobuf.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "store/sha256.h"

namespace histeq::store {

// Numbers as in histeq.v1.ImageFormat.
enum class ImageFormat : uint8_t { kJpeg = 1, kPng = 2 };

// What is known of a file when it is registered.
struct ImageFacts {
  // URI of the bytes, "blob:KEY".
  std::string location;
  Sha256Digest sha256{};
  uint64_t size_bytes = 0;
  ImageFormat format = ImageFormat::kJpeg;
  // Pixels, and as stored in the file: 1 to 4 channels of 1 to 16 bits.
  uint32_t width = 0;
  uint32_t height = 0;
  uint32_t channels = 0;
  uint32_t bits_per_sample = 0;
};

struct ImageRecord {
  // Server-generated, [0-9a-z-], never used again; or a registration's, which may come again once
  // the image was deleted.
  std::string id;
  // As the uploader gave it; data, never a path.
  std::string name;
  ImageFacts facts;
  absl::Time create_time;
  // Empty for an upload; for a result what made it ("EQUALIZED"), from which, by which job.
  std::string tag;
  std::string source_image_id;
  std::string source_job_id;
  // When ExpireImages removes it; absent: never.
  std::optional<absl::Time> expire_time;
  // Registered, and its file not read yet, or changed since: of `facts` only the location is known,
  // and the size that it had when it was registered.
  bool unread = false;
  // Of a registered file, when it was last modified; to the nanosecond.
  std::optional<absl::Time> modify_time;
};

// Numbers as in histeq.v1.JobState.
enum class JobState : uint8_t {
  kQueued = 1,
  kRunning = 2,
  kSucceeded = 3,
  kFailed = 4,
  kCancelled = 5
};
inline bool IsFinal(JobState state) { return state >= JobState::kSucceeded; }

// Numbers as in histeq.v1.JobStage.
enum class JobStage : uint8_t { kUnknown = 0, kAnalyze = 1, kTransform = 2, kUpload = 3 };

struct JobProgress {
  JobStage stage = JobStage::kUnknown;
  uint32_t segments_done = 0;
  uint32_t segments_total = 0;
  uint32_t workers = 0;
  bool operator==(const JobProgress&) const = default;
};

struct JobError {
  // A status code, as absl::StatusCode and gRPC number them.
  int code = 0;
  std::string reason;
  std::string message;
  std::map<std::string, std::string> metadata;
  bool operator==(const JobError&) const = default;
};

// One image that a job makes. What is made of the same bytes with the same `operation` and
// `format_version` is made once.
struct JobOutput {
  // What makes this image alone, serialized by the caller with all defaults filled in: the same
  // result must always have the same bytes here.
  std::string operation;
  // Of the program's results: another one is another result.
  uint32_t format_version = 1;
  // For ImageRecord::tag, 1 to 32 bytes.
  std::string tag;
  // Empty: the tag stands before the name's extension, "photo_EQUALIZED.jpg". Else it follows the
  // whole name, before the extension of the result's format, "photo.jpg" + "_thumb" + ".jpg".
  std::string name_suffix;
  // The output (an earlier one) that this one is made of: the two are always made together, and the
  // name is built on the other's.
  std::optional<uint32_t> made_of;
};

// What to do with an image, as the catalog sees it: opaque, compared byte by byte.
struct JobSpec {
  // Serialized by the caller; the same operation must always give the same bytes.
  std::string operation;
  // Empty: the job makes no image.
  std::vector<JobOutput> outputs;
  // An image that the operation also reads; empty: none. It cannot be deleted while the job is not
  // final.
  std::string reference_image_id;
  // Make the outputs also when they are there, and put the new ones in their place.
  bool refresh = false;
  // Reads a registered file, and says what it is. The other jobs of its image wait for it.
  bool inspects = false;
};

struct JobRecord {
  std::string id;
  std::string image_id;
  std::string image_name;
  JobSpec spec;
  JobState state = JobState::kQueued;
  // Leases that counted, and how many there may be.
  uint32_t attempts = 0;
  uint32_t max_attempts = 0;
  // Of these, how many ended because the holder was heard of no more.
  uint32_t holder_deaths = 0;
  // Fencing token: grows with every lease.
  uint64_t epoch = 0;
  // Holder of the lease; empty unless kRunning.
  std::string coordinator;
  // kRunning, and the client wants it to end.
  bool cancel_requested = false;
  // kQueued, and waits for another job that makes some of its outputs, or reads the image's file.
  bool blocked = false;
  // The storage root where the source image lies; empty: the frontend has it.
  std::string storage;
  // One for each output; empty where it is not there (yet).
  std::vector<std::string> result_image_ids;
  // The first of them, once kSucceeded.
  std::string result_image_id;
  // Final when kFailed, the last attempt's when kQueued again.
  std::optional<JobError> error;
  // Not durable.
  JobProgress progress;
  absl::Time create_time;
  std::optional<absl::Time> start_time;
  std::optional<absl::Time> end_time;
  // kQueued: not leased before this time (back-off).
  std::optional<absl::Time> not_before;
};

// What a client says about a file before it sends it.
struct UploadHeader {
  // Chosen by the client.
  std::string upload_id;
  std::string name;
  std::optional<uint64_t> size_bytes;
  std::optional<Sha256Digest> sha256;
  // When set, the job to queue together with the registration.
  std::optional<JobSpec> job;
};

struct UploadRecord {
  UploadHeader header;
  // Where its bytes go in the BlobStore.
  std::string blob_key;
  // Registered: `image` is set unless the image was deleted since, `job` when there is one.
  bool finished = false;
  std::optional<ImageRecord> image;
  std::optional<JobRecord> job;
  // Last BeginUpload.
  absl::Time touch_time;
};

// Something that was made of an image, is being made, or failed.
struct DerivativeRecord {
  // JobOutput::operation.
  std::string operation;
  // That made it, makes it, or failed.
  std::string job_id;
  // kSucceeded exactly when `image` is there.
  JobState state = JobState::kQueued;
  std::optional<ImageRecord> image;
  // kFailed: why.
  std::optional<JobError> error;
  // kQueued: the job, without its spec.
  std::optional<JobRecord> job;
  // When it was made, or failed.
  std::optional<absl::Time> end_time;
};

struct ImageDescription {
  ImageRecord image;
  // The job that reads the image's file, now or again; of an unread image the latest that did so in
  // vain.
  std::optional<JobRecord> inspection;
  // Oldest first, at most 1000. Of an unread image also what waits for its reading.
  std::vector<DerivativeRecord> derivatives;
  bool more_derivatives = false;
};

// A file that lies elsewhere, to be known as an image.
struct FileRegistration {
  // Chosen by the caller.
  std::string image_id;
  std::string name;
  // As FormatLocation writes it.
  std::string location;
  // The storage root of a node's file; then nothing more is known of it.
  std::string storage;
  std::optional<uint64_t> size_bytes;
  std::optional<absl::Time> modify_time;
  // Reads the file (`inspects` is set).
  JobSpec inspect;
  // Queued at once, for when the file is read.
  std::optional<JobSpec> job;
};

struct CoordinatorRecord {
  std::string name;
  std::string address;
};

struct QueueCounts {
  uint64_t queued = 0;
  uint64_t running = 0;
};

template <typename Record>
struct Page {
  std::vector<Record> records;
  // Empty: there are no more.
  std::string next_page_token;
};

// The name of output `index` of an image: see JobOutput. At most 255 bytes, as below.
std::string OutputName(const std::string& source_name, const std::vector<JobOutput>& outputs,
                       size_t index, ImageFormat format);

// The name of a result: "photo.jpg" with tag "EQUALIZED" gives "photo_EQUALIZED.jpg". At most 255
// bytes; a longer stem is cut between UTF-8 characters.
std::string ResultName(const std::string& source_name, const std::string& tag);

}  // namespace histeq::store
