#include "engine/thread_executor.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "engine/segment_queue.h"
#include "local_segment.h"
#include "process_image.h"

namespace histeq::engine {

class ThreadExecutor::Pool {
 public:
  explicit Pool(uint32_t threads) {
    for (uint32_t i = 0; i < std::max<uint32_t>(1, threads); ++i) {
      try {
        threads_.emplace_back([this] { Work(); });
      } catch (const std::system_error&) {
        // Fewer do it too; none do not.
        if (threads_.empty()) throw;
        break;
      }
    }
  }
  // Does what was submitted first.
  ~Pool() {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void Submit(std::function<void()> task) {
    {
      std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    changed_.notify_one();
  }

  uint32_t threads() const { return static_cast<uint32_t>(threads_.size()); }

 private:
  void Work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return ending_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      task = nullptr;
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

namespace {

// The segments of one call of Transform. Each of its runners is a task that does one segment and
// goes to the end of the pool's line, behind the runners of other jobs.
class RunningJob : public std::enable_shared_from_this<RunningJob> {
 public:
  using SubmitTask = std::function<void(std::function<void()>)>;

  RunningJob(const TransformSpec& spec, SegmentExchange& exchange, uint32_t window,
             const base::CancelToken& token, SubmitTask submit)
      : spec_(spec),
        exchange_(exchange),
        token_(token),
        submit_(std::move(submit)),
        queue_(exchange.count(), window, token,
               [&exchange] { return exchange.delivered_prefix(); }) {}

  absl::Status Run(uint32_t runners) {
    exchange_.WatchPrefix([this] { SubmitIdle(); });
    for (uint32_t i = 0; i < runners; ++i) SubmitRunner();
    absl::Status status = queue_.Wait();
    exchange_.WatchPrefix(nullptr);
    return status;
  }

 private:
  void SubmitRunner() {
    submit_([job = shared_from_this()] { job->Step(); });
  }

  // Those that found the window full: it may have moved.
  void SubmitIdle() {
    uint32_t runners = 0;
    {
      std::lock_guard lock(mutex_);
      runners = std::exchange(idle_runners_, 0);
    }
    for (uint32_t i = 0; i < runners; ++i) SubmitRunner();
  }

  std::optional<uint32_t> TakeOrBecomeIdle() {
    // A window that moves after the look finds the idle runner.
    std::lock_guard lock(mutex_);
    std::optional<uint32_t> index = queue_.TryTake();
    // The window is full, or the end is near.
    if (!index.has_value()) ++idle_runners_;
    return index;
  }

  void Step() {
    // After the end of the job the queue has nothing, and nothing else is touched.
    const std::optional<uint32_t> index = TakeOrBecomeIdle();
    if (!index.has_value()) return;
    std::vector<uint8_t> buffer = TakeBuffer();
    if (absl::Status status = TransformAndDeliver(spec_, exchange_, *index, buffer, token_);
        status.ok()) {
      ReturnBuffer(std::move(buffer));
      queue_.Complete(*index);
    } else {
      queue_.Fail(std::move(status));
      queue_.GiveBack(*index);
    }
    if (queue_.over()) return;
    SubmitRunner();
    SubmitIdle();
  }

  std::vector<uint8_t> TakeBuffer() {
    std::lock_guard lock(mutex_);
    if (buffers_.empty()) return {};
    std::vector<uint8_t> buffer = std::move(buffers_.back());
    buffers_.pop_back();
    return buffer;
  }
  void ReturnBuffer(std::vector<uint8_t> buffer) {
    std::lock_guard lock(mutex_);
    buffers_.push_back(std::move(buffer));
  }

  const TransformSpec& spec_;
  SegmentExchange& exchange_;
  const base::CancelToken token_;
  const SubmitTask submit_;
  SegmentQueue queue_;
  std::mutex mutex_;
  uint32_t idle_runners_ = 0;
  std::vector<std::vector<uint8_t>> buffers_;
};

}  // namespace

ThreadExecutor::ThreadExecutor(uint32_t threads) : pool_(std::make_unique<Pool>(threads)) {}

ThreadExecutor::~ThreadExecutor() = default;

absl::Status ThreadExecutor::Transform(const TransformSpec& spec, SegmentExchange& exchange,
                                       const base::CancelToken& token) {
  // A thread that is ahead does not wait for one that is one segment behind.
  const uint32_t window = 2 * threads() + 1;
  const auto job = std::make_shared<RunningJob>(
      spec, exchange, window, token,
      [this](std::function<void()> task) { pool_->Submit(std::move(task)); });
  return job->Run(std::min(threads(), exchange.count()));
}

absl::StatusOr<ProcessedImage> ThreadExecutor::ProcessImage(std::span<const uint8_t> file,
                                                            const Operation& operation,
                                                            const codec::DecodeLimits& limits,
                                                            const base::CancelToken& token) {
  return ProcessImageHere(file, operation, limits, token);
}

uint32_t ThreadExecutor::threads() const { return pool_->threads(); }

void ThreadExecutor::Submit(std::function<void()> task) { pool_->Submit(std::move(task)); }

}  // namespace histeq::engine
