#pragma once

// Which outputs of a folder are being made, by whom, and which are there: what keeps two commands
// from making the same file, and a third from making it again.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "store/sha256.h"

namespace histeq::store {

// A process that may be gone.
struct ProcessIdentity {
  // The machine since it was started, and the namespace that `pid` is of.
  std::string host;
  int64_t pid = 0;
  // When it began, in the kernel's ticks: a number that is used again is another process.
  int64_t start_ticks = 0;
};

// The calling process.
ProcessIdentity ThisProcess();

// False when it is certain that it runs no more; nothing for a process of another host, for one
// that stands still (SIGSTOP), and where the system does not say.
std::optional<bool> IsRunning(const ProcessIdentity& process);

// An output that somebody wants.
struct WantedOutput {
  // Below the registry's folder, without "..".
  std::string path;
  // Names the bytes: the source, what is done with it, and the version of the format.
  std::string key;
};

// How an output stands.
enum class OutputStanding {
  // Claimed by this call: to be made, then Finish()ed or GiveUp()ed.
  kMine,
  // There, made with this key, and not changed since.
  kThere,
  // Being made by another run.
  kBusy,
  // A file that the registry did not make, or that was changed since.
  kOccupied,
};

struct ClaimedOutput {
  OutputStanding standing = OutputStanding::kMine;
  // kMine: where to make it, a name in the output's folder. The file is not there yet.
  std::string temporary;
};

// An output that is made: its temporary file is complete and on the disk.
struct FinishedOutput {
  std::string path;
  uint64_t size_bytes = 0;
  Sha256Digest sha256 = {};
};

// What a claim found, of an output that is there.
struct OutputRecord {
  uint64_t size_bytes = 0;
  Sha256Digest sha256 = {};
  // How often it was made.
  uint64_t times_made = 0;
};

// Gives a file another name in its folder; without `replaces` a file that is there stays.
// - ALREADY_EXISTS OUTPUT_EXISTS; FAILED_PRECONDITION OUTPUT_NOT_WRITABLE.
absl::Status GiveName(const std::string& from, const std::string& to, bool replaces);

// A SQLite file in the folder of the outputs, shared by all runs that write there. It may come from
// anywhere together with its folder: whatever it says, no file is removed but temporary files of
// this program in the folders of their outputs. A run is one object of this class; its claims hold
// while its process runs, and end at once when that is gone; where nothing is known of it, they
// hold while its lease does. Thread-safe.
class ClaimRegistry {
 public:
  struct Options {
    std::string file_name = ".histeq.sqlite";
    // Outlives the registry.
    const base::Clock& clock = base::SystemClock();
    // After this time without Renew() others take the claims over of which it is not known whether
    // their run lives: see IsRunning().
    absl::Duration lease = absl::Seconds(60);
    ProcessIdentity process = ThisProcess();
  };

  // `folder` exists. Ends what runs that are gone left behind, as Sweep().
  // - FAILED_PRECONDITION REGISTRY_UNUSABLE: the file cannot be made, or is something else.
  static absl::StatusOr<std::unique_ptr<ClaimRegistry>> Open(const std::string& folder,
                                                             const Options& options);
  // Gives up what is still claimed.
  ~ClaimRegistry();
  ClaimRegistry(const ClaimRegistry&) = delete;
  ClaimRegistry& operator=(const ClaimRegistry&) = delete;

  // The standing of each of `wanted`. Claims all that are to be made, or, when one of them is busy,
  // none. With `anew` outputs that are there are made again, and occupied ones replaced.
  // - INVALID_ARGUMENT BAD_OUTPUT: a path that is not below the folder.
  absl::StatusOr<std::vector<ClaimedOutput>> Claim(std::span<const WantedOutput> wanted, bool anew);

  // Gives claimed outputs their names, by rename.
  // - ABORTED CLAIM_LOST: this run was taken for dead, and another may make them now.
  // - ALREADY_EXISTS OUTPUT_EXISTS: a file of that name came meanwhile; it stays.
  // - FAILED_PRECONDITION OUTPUT_NOT_WRITABLE; REGISTRY_UNUSABLE: an output may have its name
  //   all the same, and is known by it once GiveUp, the end of this run or a later one can write
  //   that down.
  absl::Status Finish(std::span<const FinishedOutput> finished);

  // Takes claims back and removes their temporary files; outputs that have their names are marked
  // as made.
  // - FAILED_PRECONDITION REGISTRY_UNUSABLE: for the end of this run, or a later one, to do.
  absl::Status GiveUp(std::span<const std::string> paths);

  // What is known of an output that was made; nothing when it was not.
  absl::StatusOr<std::optional<OutputRecord>> Find(const std::string& path);

  // Whether any output is known, made or claimed, whose path begins with `folder`, which ends with
  // a slash.
  absl::StatusOr<bool> KnowsBelow(const std::string& folder);

  // Extends the lease. To be called several times within its length.
  absl::Status Renew();

  // Ends the runs that are gone: their temporary files are removed, their claims free; an output
  // that had everything but its last mark is marked. How many runs these were.
  absl::StatusOr<int> Sweep();

 private:
  struct Parts;
  explicit ClaimRegistry(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace histeq::store
