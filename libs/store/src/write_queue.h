#pragma once

// Group commit: the changes of concurrent callers share one transaction, and so one fsync.

#include <semaphore.h>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "sqlite_db.h"

namespace histeq::store {

// What one change works with.
struct WriteContext {
  Database& db;
  // Run after the commit, before the caller goes on. A change that is run again starts with empty
  // lists; those of before have been undone.
  std::vector<std::function<void()>> on_commit;
  std::vector<std::function<void()>> on_rollback;
};

// Owns the writing connection. Thread-safe. It has no thread: one of the callers runs the changes
// of all who wait, then hands on to one who came meanwhile.
class WriteQueue {
 public:
  // A change. When it fails it alone is undone. It may be run more than once; the last time counts.
  // One runs at a time, on the thread of any caller.
  using Body = std::function<absl::Status(WriteContext&)>;

  // `after_commit` is called after each transaction, before any of its callers goes on.
  WriteQueue(std::unique_ptr<Database> db, std::function<void(Database&)> after_commit)
      : db_(std::move(db)), after_commit_(std::move(after_commit)) {}
  // Changes that wait fail with UNAVAILABLE; returns when all are answered.
  ~WriteQueue();

  // Runs `body` and returns when its outcome is durable. Its status, or that of the commit. `body`
  // must not call Run.
  absl::Status Run(const Body& body);

 private:
  // Lives on its caller's stack, and is not touched any more once `wake` was posted: POSIX lets a
  // semaphore be destroyed by whoever was woken.
  struct Request {
    explicit Request(const Body& its_body) : body(its_body) { sem_init(&wake, 0, 0); }
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;
    ~Request() { sem_destroy(&wake); }

    const Body& body;
    absl::Status status;
    std::vector<std::function<void()>> on_commit;
    std::vector<std::function<void()>> on_rollback;
    // To run the next batch; otherwise it is done.
    bool leads = false;
    sem_t wake;
  };
  using Batch = std::vector<Request*>;

  // Runs the bodies in one transaction and sets each status.
  void RunBatch(const Batch& batch);
  // Runs the bodies without savepoints, which would copy every page before it changes. False: one
  // failed after it had changed something, and all must be undone and run again, each in its own.
  absl::StatusOr<bool> RunPlain(const Batch& batch);
  absl::Status RunEachInSavepoint(const Batch& batch);
  // Runs one body and sets its status.
  void RunBody(Request& request);
  // Runs one of the few statements that frame every change.
  absl::Status Frame(const char* sql);

  const std::unique_ptr<Database> db_;
  const std::function<void(Database&)> after_commit_;
  std::mutex mutex_;
  std::condition_variable left_;
  // Requests without an answer.
  size_t unanswered_ = 0;
  // Somebody runs a batch, or was woken to.
  bool led_ = false;
  std::deque<Request*> waiting_;
  bool closing_ = false;
};

}  // namespace histeq::store
