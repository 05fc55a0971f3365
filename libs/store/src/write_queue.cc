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
  std::unique_lock lock(mutex_);
  left_.wait(lock, [this] { return callers_ == 0; });
}

absl::Status WriteQueue::Run(const Body& body) {
  Request request;
  request.body = &body;
  std::unique_lock lock(mutex_);
  if (closing_) {
    return StoreError(absl::StatusCode::kUnavailable, "SHUTTING_DOWN", "the catalog is closing");
  }
  waiting_.push_back(&request);
  ++callers_;
  arrived_.notify_one();
  request.wake.wait(lock, [&request] { return request.done; });
  if (--callers_ == 0 && closing_) left_.notify_all();
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

absl::Status WriteQueue::Frame(const char* sql) {
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db_->Prepare(sql));
  return statement.Run();
}

absl::Status WriteQueue::RunOne(Request& request) {
  HISTEQ_RETURN_IF_ERROR(Frame("SAVEPOINT change"));
  WriteContext context{*db_, {}, {}};
  request.status = (*request.body)(context);
  if (request.status.ok()) {
    request.on_commit = std::move(context.on_commit);
    request.on_rollback = std::move(context.on_rollback);
    return Frame("RELEASE change");
  }
  for (const auto& undo : context.on_rollback) undo();
  // A full disk may have ended the whole transaction; there is nothing to go back to then.
  if (!db_->InTransaction()) return request.status;
  HISTEQ_RETURN_IF_ERROR(Frame("ROLLBACK TO change"));
  return Frame("RELEASE change");
}

void WriteQueue::RunBatch(const std::vector<Request*>& batch) {
  absl::Status outcome = Frame("BEGIN IMMEDIATE");
  for (Request* request : batch) {
    if (!outcome.ok()) break;
    outcome = RunOne(*request);
  }
  if (outcome.ok()) outcome = Frame("COMMIT");
  if (!outcome.ok()) {
    if (db_->InTransaction()) Frame("ROLLBACK").IgnoreError();
    for (Request* request : batch) {
      // Also those that found an answer by reading: it may have rested on a change undone now.
      request->status = outcome;
      for (const auto& undo : request->on_rollback) undo();
    }
    return;
  }
  for (Request* request : batch) {
    for (const auto& follow : request->on_commit) follow();
  }
}

}  // namespace histeq::store
