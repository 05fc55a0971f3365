#include "write_queue.h"

#include <cerrno>
#include <utility>

#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "store_error.h"

namespace histeq::store {
namespace {

// Bounds how long the first of a batch waits for the last.
constexpr size_t kMaxBatch = 512;

absl::Status Closing() {
  return StoreError(absl::StatusCode::kUnavailable, "SHUTTING_DOWN", "the catalog is closing");
}

}  // namespace

WriteQueue::~WriteQueue() {
  std::unique_lock lock(mutex_);
  closing_ = true;
  left_.wait(lock, [this] { return unanswered_ == 0; });
}

absl::Status WriteQueue::Run(const Body& body) {
  Request request(body);
  std::unique_lock lock(mutex_);
  if (closing_) return Closing();
  ++unanswered_;
  if (led_) {
    waiting_.push_back(&request);
    lock.unlock();
    while (sem_wait(&request.wake) != 0 && errno == EINTR) {
    }
    if (!request.leads) return std::move(request.status);
    lock.lock();
  }
  led_ = true;
  Batch batch = {&request};
  while (!waiting_.empty() && batch.size() < kMaxBatch) {
    batch.push_back(waiting_.front());
    waiting_.pop_front();
  }
  const bool refuse = closing_;
  lock.unlock();
  if (refuse) {
    for (Request* each : batch) each->status = Closing();
  } else {
    RunBatch(batch);
  }
  lock.lock();
  Request* next = nullptr;
  if (waiting_.empty()) {
    led_ = false;
  } else {
    next = waiting_.front();
    waiting_.pop_front();
    next->leads = true;
  }
  unanswered_ -= batch.size();
  if (unanswered_ == 0 && closing_) left_.notify_all();
  lock.unlock();
  // The queue itself may be gone from here on.
  if (next != nullptr) sem_post(&next->wake);
  for (Request* each : batch) {
    if (each != &request) sem_post(&each->wake);
  }
  return std::move(request.status);
}

absl::Status WriteQueue::Frame(const char* sql) {
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db_->Prepare(sql));
  return statement.Run();
}

void WriteQueue::RunBody(Request& request) {
  WriteContext context{*db_, {}, {}};
  request.status = request.body(context);
  if (request.status.ok()) {
    request.on_commit = std::move(context.on_commit);
    request.on_rollback = std::move(context.on_rollback);
  } else {
    for (const auto& undo : context.on_rollback) undo();
  }
}

absl::StatusOr<bool> WriteQueue::RunPlain(const Batch& batch) {
  HISTEQ_RETURN_IF_ERROR(Frame("BEGIN IMMEDIATE"));
  for (Request* request : batch) {
    const int64_t changes = db_->TotalChanges();
    RunBody(*request);
    if (request->status.ok()) continue;
    // A full disk may have ended the whole transaction.
    if (!db_->InTransaction()) return request->status;
    if (db_->TotalChanges() != changes) return false;
  }
  return true;
}

absl::Status WriteQueue::RunEachInSavepoint(const Batch& batch) {
  HISTEQ_RETURN_IF_ERROR(Frame("BEGIN IMMEDIATE"));
  for (Request* request : batch) {
    HISTEQ_RETURN_IF_ERROR(Frame("SAVEPOINT change"));
    RunBody(*request);
    if (!request->status.ok()) {
      // There may be nothing to go back to, as above.
      if (!db_->InTransaction()) return request->status;
      HISTEQ_RETURN_IF_ERROR(Frame("ROLLBACK TO change"));
    }
    HISTEQ_RETURN_IF_ERROR(Frame("RELEASE change"));
  }
  return absl::OkStatus();
}

void WriteQueue::RunBatch(const Batch& batch) {
  const auto undo_all = [&] {
    if (db_->InTransaction()) Frame("ROLLBACK").IgnoreError();
    for (Request* request : batch) {
      for (const auto& undo : std::exchange(request->on_rollback, {})) undo();
      request->on_commit.clear();
    }
  };
  const absl::StatusOr<bool> plain = RunPlain(batch);
  absl::Status outcome = plain.status();
  if (plain.ok() && !*plain) {
    undo_all();
    // Alone it is undone already, and its answer stands.
    if (batch.size() == 1) return;
    outcome = RunEachInSavepoint(batch);
  }
  if (outcome.ok()) outcome = Frame("COMMIT");
  if (!outcome.ok()) {
    undo_all();
    // Also those that found an answer by reading: it may have rested on a change undone now.
    for (Request* request : batch) request->status = outcome;
    return;
  }
  after_commit_(*db_);
  for (Request* request : batch) {
    for (const auto& follow : request->on_commit) follow();
  }
}

}  // namespace histeq::store
