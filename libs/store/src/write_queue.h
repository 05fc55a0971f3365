#pragma once

// Group commit: the changes of concurrent callers share one transaction, and so one fsync.

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "sqlite_db.h"

namespace histeq::store {

// What one change works with.
struct WriteContext {
  Database& db;
  // Run on the writing thread after the commit, before the caller goes on; exactly one of the lists
  // runs.
  std::vector<std::function<void()>> on_commit;
  std::vector<std::function<void()>> on_rollback;
};

// Owns the writing connection and its thread. Thread-safe.
class WriteQueue {
 public:
  // A change. When it fails it alone is undone.
  using Body = std::function<absl::Status(WriteContext&)>;

  explicit WriteQueue(std::unique_ptr<Database> db);
  // Changes that wait fail with UNAVAILABLE; returns when their callers have left.
  ~WriteQueue();

  // Runs `body` on the writing thread and returns when its outcome is durable. Its status, or that
  // of the commit. `body` must not call Run.
  absl::Status Run(const Body& body);

 private:
  struct Request {
    const Body* body;
    absl::Status status;
    std::vector<std::function<void()>> on_commit;
    std::vector<std::function<void()>> on_rollback;
    bool done = false;
    std::condition_variable wake;
  };

  void Loop();
  // Runs the bodies in one transaction and sets each status.
  void RunBatch(const std::vector<Request*>& batch);
  // Runs one body in a savepoint and sets its status. Not OK: the whole transaction is lost.
  absl::Status RunOne(Request& request);
  // Runs one of the few statements that frame every change.
  absl::Status Frame(const char* sql);

  const std::unique_ptr<Database> db_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::condition_variable left_;
  // Calls of Run that have not returned.
  size_t callers_ = 0;
  std::deque<Request*> waiting_;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace histeq::store
