#include "write_queue.h"

#include <utility>

#include "base/status_macros.h"
#include "store_error.h"

namespace histeq::store {
namespace {

// Bounds how long the first of a batch waits for the last.
constexpr size_t kMaxBatch = 512;

}  // namespace

WriteQueue::WriteQueue(std::unique_ptr<Database> db)
    : db_(std::move(db)), thread_([this] { Loop(); }) {}

WriteQueue::~WriteQueue() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  arrived_.notify_all();
  thread_.join();
}

absl::Status WriteQueue::Run(const Body& body) {
  Request request;
  request.body = &body;
  std::unique_lock lock(mutex_);
  if (closing_) {
    return StoreError(absl::StatusCode::kUnavailable, "SHUTTING_DOWN", "the catalog is closing");
  }
  waiting_.push_back(&request);
  arrived_.notify_one();
  request.wake.wait(lock, [&request] { return request.done; });
  return request.status;
}

void WriteQueue::Loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    arrived_.wait(lock, [this] { return closing_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    std::vector<Request*> batch;
    while (!waiting_.empty() && batch.size() < kMaxBatch) {
      batch.push_back(waiting_.front());
      waiting_.pop_front();
    }
    const bool refuse = closing_;
    lock.unlock();
    if (refuse) {
      for (Request* request : batch) {
        request->status =
            StoreError(absl::StatusCode::kUnavailable, "SHUTTING_DOWN", "the catalog is closing");
      }
    } else {
      RunBatch(batch);
    }
    lock.lock();
    for (Request* request : batch) {
      request->done = true;
      // Under the lock: the request lives on the caller's stack and is gone once it wakes.
      request->wake.notify_one();
    }
  }
}

absl::Status WriteQueue::RunOne(Request& request) {
  HISTEQ_RETURN_IF_ERROR(db_->Execute("SAVEPOINT change"));
  WriteContext context{*db_, {}, {}};
  const absl::Status status = (*request.body)(context);
  request.on_rollback = std::move(context.on_rollback);
  if (status.ok()) {
    request.on_commit = std::move(context.on_commit);
    return db_->Execute("RELEASE change");
  }
  for (const auto& undo : request.on_rollback) undo();
  request.on_rollback.clear();
  // A full disk may have ended the whole transaction; there is nothing to go back to then.
  if (db_->InTransaction())
    HISTEQ_RETURN_IF_ERROR(db_->Execute("ROLLBACK TO change; RELEASE change"));
  return status;
}

void WriteQueue::RunBatch(const std::vector<Request*>& batch) {
  absl::Status outcome = db_->Execute("BEGIN IMMEDIATE");
  for (Request* request : batch) {
    if (!outcome.ok()) break;
    request->status = RunOne(*request);
    if (!db_->InTransaction()) outcome = request->status;
  }
  if (outcome.ok()) outcome = db_->Execute("COMMIT");
  if (!outcome.ok()) {
    if (db_->InTransaction()) db_->Execute("ROLLBACK").IgnoreError();
    for (Request* request : batch) {
      // Also those that found an answer by reading: it may have rested on a change undone now.
      request->status = outcome;
      for (const auto& undo : request->on_rollback) undo();
    }
    return;
  }
  for (Request* request : batch) {
    if (!request->status.ok()) continue;
    for (const auto& follow : request->on_commit) follow();
  }
}

}  // namespace histeq::store
