#include "read_pool.h"

#include <utility>

#include "base/status_macros.h"

namespace histeq::store {
namespace {

// More than the readers that run at the same time on most machines.
constexpr size_t kMaxKept = 16;

absl::Status Frame(Database& db, const char* sql) {
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare(sql));
  return statement.Run();
}

}  // namespace

ReadPool::Snapshot::~Snapshot() {
  if (db_ == nullptr) return;
  // A connection that cannot end its transaction would hold the log for ever.
  if (!Frame(*db_, "COMMIT").ok()) return;
  const std::lock_guard lock(pool_->mutex_);
  if (pool_->free_.size() < kMaxKept) pool_->free_.push_back(std::move(db_));
}

absl::StatusOr<ReadPool::Snapshot> ReadPool::Take() {
  std::unique_ptr<Database> db;
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      db = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (db == nullptr) {
    HISTEQ_ASSIGN_OR_RETURN(db, Database::Open(file_, true));
    HISTEQ_RETURN_IF_ERROR(db->Execute("PRAGMA query_only = 1; PRAGMA cache_size = -2000"));
  }
  HISTEQ_RETURN_IF_ERROR(Frame(*db, "BEGIN"));
  return Snapshot(this, std::move(db));
}

}  // namespace histeq::store
