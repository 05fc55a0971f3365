#pragma once

// Open uploads that are kept in memory until they are finished: for files that are sent again as
// fast as their rest would be, one change of the database is enough.

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "store/records.h"

namespace histeq::store {

// Thread-safe. An upload is in here or in the database, once it is verified.
class SmallUploads {
 public:
  // `max_bytes`: announced size of the file; `max_uploads`: how many are kept.
  SmallUploads(uint64_t max_bytes, size_t max_uploads)
      : max_bytes_(max_bytes), max_uploads_(max_uploads) {}

  // Whether it is small.
  bool IsSmall(const UploadHeader& header) const;

  struct Begun {
    UploadRecord upload;
    // The database was asked, and does not have it.
    bool verified = false;
  };
  // Keeps the upload, or finds the one with its id; nothing: there is no room.
  std::optional<Begun> Begin(const UploadRecord& upload);
  // After Begin: the database does not have it, or it does, and it goes from here.
  void Verify(const std::string& id);
  void RemoveUnverified(const std::string& id);
  void Touch(const std::string& id, absl::Time time);

  // Also one that is not verified yet.
  bool Has(const std::string& id) const;
  // Verified ones only.
  std::optional<UploadRecord> Find(const std::string& id) const;
  bool HasKey(const std::string& blob_key) const;
  std::vector<UploadRecord> TouchedBefore(absl::Time before, size_t max) const;

  // Takes it out when it was last touched before `before`; nothing: there is no such one.
  std::optional<UploadRecord> Take(const std::string& id, absl::Time before);
  // After Take: it stays after all.
  void PutBack(const UploadRecord& upload);

 private:
  using Entries = std::map<std::string, Begun>;
  void Erase(Entries::iterator entry);

  const uint64_t max_bytes_;
  const size_t max_uploads_;
  mutable std::mutex mutex_;
  Entries entries_;
  std::multiset<std::string> keys_;
};

}  // namespace histeq::store
