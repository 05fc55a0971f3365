#pragma once

// Connections for reading, so that readers wait for nobody.

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sqlite_db.h"

namespace histeq::store {

// Thread-safe. Must outlive its snapshots.
class ReadPool {
 public:
  explicit ReadPool(std::string file) : file_(std::move(file)) {}

  // A connection for one call, which sees one state of the database.
  class Snapshot {
   public:
    Snapshot(ReadPool* pool, std::unique_ptr<Database> db) : pool_(pool), db_(std::move(db)) {}
    Snapshot(Snapshot&&) = default;
    Snapshot& operator=(Snapshot&&) = delete;
    ~Snapshot();
    Database& db() { return *db_; }

   private:
    ReadPool* pool_;
    std::unique_ptr<Database> db_;
  };

  absl::StatusOr<Snapshot> Take();

 private:
  const std::string file_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Database>> free_;
};

}  // namespace histeq::store
