// Segments on workers through the wire: whatever the workers do, the bytes are the same.

#include "rpc/remote_executor.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <thread>

#include "../unit/worker/test_worker.h"
#include "base/error.h"
#include "codec/image_info.h"
#include "engine/thread_executor.h"
#include "executor_suite.h"
#include "rpc/operation_convert.h"
#include "rpc/status.h"

namespace histeq::rpc {
namespace {

using testing::TestImage;
using testing::TestWorker;
using Stream = grpc::ServerReaderWriter<v1::TransformSegmentResponse, v1::TransformSegmentRequest>;
using ImageStream = grpc::ServerReaderWriter<v1::ProcessImageResponse, v1::ProcessImageRequest>;

// The segments of a test image; notes every misuse.
class MemoryExchange final : public engine::SegmentExchange {
 public:
  explicit MemoryExchange(const TestImage& image) : image_(image), fragments_(image.count()) {}

  uint32_t count() const override { return image_.count(); }
  engine::Segment at(uint32_t index) const override { return image_.segment(index); }
  absl::Status Read(uint32_t index, uint64_t offset, std::span<uint8_t> out) override {
    {
      std::lock_guard lock(mutex_);
      if (fragments_[index].has_value()) ++misuses_;
      if (fail_read_at == index) return absl::InternalError("the spool is broken");
      ++readers_[index];
    }
    const std::vector<uint8_t> samples = image_.SamplesOf(index);
    std::copy_n(samples.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
    std::unique_lock lock(mutex_);
    // This one is in work when the other fails.
    if (fail_deliver_at.has_value() && index == *fail_deliver_at + 1) {
      changed_.wait_for(lock, std::chrono::seconds(1), [&] { return failed_; });
    }
    --readers_[index];
    return absl::OkStatus();
  }
  absl::Status Deliver(uint32_t index, codec::Fragment fragment) override {
    std::lock_guard lock(mutex_);
    if (fail_deliver_at == index) {
      failed_ = true;
      changed_.notify_all();
      return base::MakeError(absl::StatusCode::kResourceExhausted, "the disk is full",
                             {.reason = "DISK_FULL"});
    }
    // Its samples are given away with this.
    if (fragments_[index].has_value() || readers_[index] > 0) ++misuses_;
    if (index >= prefix_ + window) ++misuses_;
    fragments_[index] = std::move(fragment);
    while (prefix_ < fragments_.size() && fragments_[prefix_].has_value()) ++prefix_;
    ++delivered_;
    changed_.notify_all();
    return absl::OkStatus();
  }
  uint32_t delivered_prefix() const override {
    std::lock_guard lock(mutex_);
    return prefix_;
  }

  bool AwaitDelivered(uint32_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return delivered_ >= count; });
  }
  uint32_t delivered() const {
    std::lock_guard lock(mutex_);
    return delivered_;
  }
  void CheckComplete() const {
    CHECK(misuses_ == 0);
    REQUIRE(delivered_ == count());
    for (uint32_t i = 0; i < count(); ++i) {
      const codec::Fragment expected = image_.Expected(i);
      CAPTURE(i);
      REQUIRE((fragments_[i]->bytes == expected.bytes));
      CHECK(fragments_[i]->adler32 == expected.adler32);
      CHECK(fragments_[i]->raw_bytes == expected.raw_bytes);
    }
  }
  int misuses() const { return misuses_; }

  std::optional<uint32_t> fail_read_at;
  std::optional<uint32_t> fail_deliver_at;
  uint32_t window = 32;

 private:
  const TestImage& image_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::optional<codec::Fragment>> fragments_;
  std::map<uint32_t, int> readers_;
  uint32_t prefix_ = 0;
  uint32_t delivered_ = 0;
  int misuses_ = 0;
  bool failed_ = false;
};

// A real worker behind a script that may answer in its place.
class ScriptedWorker final : private v1::Worker::Service {
 public:
  // Nothing: the real worker answers. `call` counts from 0.
  using Script =
      std::function<std::optional<grpc::Status>(int call, grpc::ServerContext&, Stream&)>;
  using ImageScript =
      std::function<std::optional<grpc::Status>(int call, grpc::ServerContext&, ImageStream&)>;

  explicit ScriptedWorker(std::string name, Script script = nullptr,
                          worker::WorkerOptions options = {}, ImageScript image_script = nullptr)
      : name(std::move(name)),
        script_(std::move(script)),
        image_script_(std::move(image_script)),
        real_(std::move(options)) {
    ServerOptions server_options;
    server_options.services = {this};
    auto started = Server::Start(server_options);
    REQUIRE(started.ok());
    server_ = *std::move(started);
    address = server_->local_address();
  }
  ~ScriptedWorker() override { Die(); }

  void Die() {
    std::lock_guard lock(mutex_);
    server_.reset();
  }
  PoolWorker pool_entry(uint32_t slots = 2) const {
    return {.name = name, .address = address, .slots = slots, .free_slots = slots};
  }

  const std::string name;
  std::string address;
  std::atomic<int> calls = 0;
  std::atomic<int> image_calls = 0;

 private:
  v1::Worker::Service& real() {
    return dynamic_cast<v1::Worker::Service&>(*real_.worker->service());
  }
  grpc::Status TransformSegment(grpc::ServerContext* context, Stream* stream) override {
    const int call = calls++;
    if (script_) {
      if (auto answer = script_(call, *context, *stream)) return *answer;
    }
    return real().TransformSegment(context, stream);
  }
  grpc::Status ProcessImage(grpc::ServerContext* context, ImageStream* stream) override {
    const int call = image_calls++;
    if (image_script_) {
      if (auto answer = image_script_(call, *context, *stream)) return *answer;
    }
    return real().ProcessImage(context, stream);
  }

  const Script script_;
  const ImageScript image_script_;
  TestWorker real_;
  std::mutex mutex_;
  std::unique_ptr<Server> server_;
};

// Does nothing until its caller leaves.
std::optional<grpc::Status> Stall(int, grpc::ServerContext& context, Stream&) {
  while (!context.IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return grpc::Status(grpc::StatusCode::CANCELLED, "");
}

grpc::Status Refusal() {
  return ToGrpc(base::MakeError(absl::StatusCode::kResourceExhausted, "full",
                                {.reason = "NO_SLOT", .retry_after = absl::Milliseconds(20)}));
}

RemoteExecutorOptions Options() {
  RemoteExecutorOptions options;
  options.job_id = "job";
  options.epoch = 3;
  options.coordinator = "coordinator";
  options.hold_back = absl::Milliseconds(50);
  options.chunk_bytes = 4096;
  return options;
}

const TestImage& Image() {
  static const TestImage image(640, 1000, 25);
  return image;
}

struct Fixture {
  WorkerPool pool;
  engine::ThreadExecutor local{2};
  RemoteExecutorOptions options = Options();

  absl::Status Run(MemoryExchange& exchange, const base::CancelToken& token = {}) {
    exchange.window = options.window;
    RemoteExecutor executor(pool, local, options);
    const absl::Status status = executor.Transform(Image().spec, exchange, token);
    CHECK(executor.busy_workers() == 0);
    return status;
  }
  // A whole job whose bytes must be right.
  void RunAndCheck() {
    MemoryExchange exchange(Image());
    const absl::Status status = Run(exchange);
    INFO(status);
    REQUIRE(status.ok());
    exchange.CheckComplete();
  }
};

void ReadAll(Stream& stream) {
  v1::TransformSegmentRequest request;
  while (stream.Read(&request)) {
  }
}

// Answers that cannot be right, one after the other.
std::optional<grpc::Status> Garbage(int call, grpc::ServerContext&, Stream& stream) {
  ReadAll(stream);
  v1::TransformSegmentResponse header, chunk;
  const uint64_t raw = uint64_t{Image().segment_rows} * (Image().spec.encode.width + 1);
  header.mutable_header()->set_fragment_bytes(100);
  header.mutable_header()->set_raw_bytes(raw);
  chunk.mutable_chunk()->set_data(std::string(100, 'x'));
  SealChunk(0, *chunk.mutable_chunk());
  switch (call % 12) {
    case 0:
      return grpc::Status::OK;
    case 1:
      stream.Write(chunk);
      return grpc::Status::OK;
    case 2:
      header.mutable_header()->set_fragment_bytes(~uint64_t{0});
      break;
    case 3:
      header.mutable_header()->set_fragment_bytes(0);
      break;
    case 4:
      header.mutable_header()->set_fragment_bytes(101);
      break;
    case 5:
      header.mutable_header()->set_fragment_bytes(99);
      break;
    case 6:
      header.mutable_header()->set_raw_bytes(raw + 1);
      break;
    case 7:
      chunk.mutable_chunk()->set_crc32c(chunk.chunk().crc32c() ^ 1);
      break;
    case 8:
      chunk.mutable_chunk()->set_offset(1);
      break;
    case 9:
      stream.Write(header);
      break;
    case 10:
      return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no");
    case 11:
      return ToGrpc(base::MakeError(absl::StatusCode::kFailedPrecondition, "always",
                                    {.reason = "MAPPING_UNKNOWN"}));
  }
  stream.Write(header);
  stream.Write(chunk);
  return grpc::Status::OK;
}

// What every executor does.
TEST_CASE("the executor suite, without workers and with two") {
  WorkerPool pool;
  engine::ThreadExecutor local(2);
  ScriptedWorker one("one"), two("two");
  if (GENERATE(false, true)) {
    pool.Update(one.pool_entry());
    pool.Update(two.pool_entry());
  }
  RemoteExecutorOptions options = Options();
  options.window = 5;
  testing::CheckExecutor(
      {.make = [&] { return std::make_unique<RemoteExecutor>(pool, local, options); },
       .window = options.window});
}

TEST_CASE("the executor suite with workers that forget, refuse, lie and fail") {
  WorkerPool pool;
  engine::ThreadExecutor local(2);
  worker::WorkerOptions forgetful_options;
  forgetful_options.mapping_cache_bytes = 0;
  ScriptedWorker forgetful("forgetful", nullptr, forgetful_options);
  ScriptedWorker full("full", [](int call, grpc::ServerContext&, Stream&) {
    return call % 2 == 0 ? std::optional(Refusal()) : std::nullopt;
  });
  ScriptedWorker liar("liar", Garbage);
  ScriptedWorker failing("failing", [](int call, grpc::ServerContext&, Stream&) {
    return call % 3 == 0
               ? std::optional(grpc::Status(grpc::StatusCode::UNAVAILABLE, "a broken wire"))
               : std::nullopt;
  });
  for (ScriptedWorker* worker : {&forgetful, &full, &liar, &failing}) {
    pool.Update(worker->pool_entry());
  }
  RemoteExecutorOptions options = Options();
  options.window = 7;
  options.hold_back = absl::Milliseconds(5);
  testing::CheckExecutor(
      {.make = [&] { return std::make_unique<RemoteExecutor>(pool, local, options); },
       .window = options.window});
}

TEST_CASE("the same bytes with 0, 1, 2 and 5 workers") {
  Fixture f;
  f.RunAndCheck();
  std::vector<std::unique_ptr<ScriptedWorker>> workers;
  for (const size_t count : {1, 2, 5}) {
    while (workers.size() < count) {
      workers.push_back(std::make_unique<ScriptedWorker>("w" + std::to_string(workers.size())));
      f.pool.Update(workers.back()->pool_entry());
    }
    CAPTURE(count);
    f.RunAndCheck();
  }
  uint64_t done = 0;
  for (const auto& worker : workers) done += f.pool.SegmentsDone(worker->name);
  CHECK(done == 3 * Image().count());
}

TEST_CASE("a window of one segment is enough") {
  Fixture f;
  f.options.window = 1;
  ScriptedWorker worker("w");
  f.pool.Update(worker.pool_entry());
  f.RunAndCheck();
}

TEST_CASE("a mapping is sent once, and again to a worker that forgot it") {
  Fixture f;
  worker::WorkerOptions options;
  SECTION("kept") {
    ScriptedWorker worker("w", nullptr, options);
    f.pool.Update(worker.pool_entry(1));
    f.RunAndCheck();
    f.RunAndCheck();
    CHECK(worker.calls == static_cast<int>(2 * Image().count()));
  }
  SECTION("forgotten at once") {
    options.mapping_cache_bytes = 0;
    ScriptedWorker worker("w", nullptr, options);
    f.pool.Update(worker.pool_entry(1));
    f.RunAndCheck();
    // Each but the first was tried without it.
    CHECK(worker.calls == static_cast<int>(2 * Image().count()) - 1);
    CHECK(f.pool.SegmentsDone("w") == Image().count());
  }
}

TEST_CASE("a worker that dies loses nothing") {
  Fixture f;
  auto dying = std::make_unique<ScriptedWorker>("dying");
  f.pool.Update(dying->pool_entry());
  std::optional<ScriptedWorker> other;
  const bool alone = GENERATE(true, false);
  if (!alone) {
    other.emplace("other");
    f.pool.Update(other->pool_entry());
  }
  const bool noticed = GENERATE(true, false);
  CAPTURE(alone, noticed);
  MemoryExchange exchange(Image());
  std::thread killer([&] {
    exchange.AwaitDelivered(5);
    dying->Die();
    if (noticed) f.pool.Remove("dying");
  });
  const absl::Status status = f.Run(exchange);
  killer.join();
  INFO(status);
  REQUIRE(status.ok());
  exchange.CheckComplete();
}

TEST_CASE("a worker that stalls loses its segments to others") {
  Fixture f;
  f.options.stall_timeout = absl::Milliseconds(200);
  ScriptedWorker stalled("stalled", Stall);
  f.pool.Update(stalled.pool_entry());
  std::optional<ScriptedWorker> other;
  if (GENERATE(true, false)) {
    other.emplace("other");
    f.pool.Update(other->pool_entry());
  }
  f.RunAndCheck();
  CHECK(stalled.calls > 0);
}

TEST_CASE("with nothing else to do, a slow segment is given to a second worker") {
  Fixture f;
  // Nobody gives the slow worker up but the one who is faster.
  f.options.stall_timeout = absl::Hours(1);
  f.options.hedge_after = absl::Milliseconds(50);
  f.options.hold_back = absl::Hours(1);
  ScriptedWorker slow("slow", Stall);
  ScriptedWorker fast("fast");
  f.pool.Update(slow.pool_entry());
  f.pool.Update(fast.pool_entry());
  f.RunAndCheck();
  CHECK(slow.calls > 0);
  CHECK(f.pool.SegmentsDone("slow") == 0);
}

TEST_CASE("a worker that is full is asked again later") {
  Fixture f;
  ScriptedWorker busy("busy", [](int call, grpc::ServerContext&, Stream&) {
    return call % 3 == 0 ? std::optional(Refusal()) : std::nullopt;
  });
  f.pool.Update(busy.pool_entry());
  std::optional<ScriptedWorker> other;
  if (GENERATE(true, false)) {
    other.emplace("other");
    f.pool.Update(other->pool_entry());
  }
  f.RunAndCheck();
}

TEST_CASE("a worker that is always full keeps nobody waiting") {
  Fixture f;
  ScriptedWorker full("full",
                      [](int, grpc::ServerContext&, Stream&) { return std::optional(Refusal()); });
  f.pool.Update(full.pool_entry());
  f.RunAndCheck();
  CHECK(f.pool.SegmentsDone("full") == 0);
}

TEST_CASE("a segment that needs more memory than a worker has is not sent there") {
  Fixture f;
  ScriptedWorker small("small");
  PoolWorker entry = small.pool_entry();
  entry.memory_bytes = entry.free_memory_bytes = 1000;
  f.pool.Update(entry);
  f.RunAndCheck();
  CHECK(small.calls == 0);
}

TEST_CASE("garbage is not believed, and does not last") {
  Fixture f;
  f.options.hold_back = absl::Milliseconds(1);
  ScriptedWorker liar("liar", Garbage);
  f.pool.Update(liar.pool_entry(1));
  std::optional<ScriptedWorker> other;
  const bool alone = GENERATE(true, false);
  if (!alone) {
    other.emplace("other");
    f.pool.Update(other->pool_entry());
  }
  f.RunAndCheck();
  CHECK(liar.calls > 0);
  CHECK(f.pool.SegmentsDone("liar") == 0);
}

TEST_CASE("a header that comes twice is garbage, whatever else is right") {
  Fixture f;
  f.options.hold_back = absl::Milliseconds(1);
  // The fragment itself is what it should be.
  const bool at_the_end = GENERATE(true, false);
  ScriptedWorker stutterer(
      "stutterer", [&](int, grpc::ServerContext&, Stream& stream) -> std::optional<grpc::Status> {
        uint32_t index = 0;
        v1::TransformSegmentRequest request;
        while (stream.Read(&request)) {
          if (request.has_header()) index = request.header().segment().context().segment();
        }
        const codec::Fragment fragment = Image().Expected(index);
        v1::TransformSegmentResponse header, chunk;
        header.mutable_header()->set_fragment_bytes(fragment.bytes.size());
        header.mutable_header()->set_adler32(fragment.adler32);
        header.mutable_header()->set_raw_bytes(fragment.raw_bytes);
        stream.Write(header);
        if (!at_the_end) stream.Write(header);
        for (size_t at = 0; at < fragment.bytes.size(); at += kMaxChunkBytes) {
          const size_t length = std::min<size_t>(kMaxChunkBytes, fragment.bytes.size() - at);
          chunk.mutable_chunk()->set_data(fragment.bytes.data() + at, length);
          SealChunk(at, *chunk.mutable_chunk());
          stream.Write(chunk);
        }
        if (at_the_end) stream.Write(header);
        return grpc::Status::OK;
      });
  f.pool.Update(stutterer.pool_entry(1));
  f.RunAndCheck();
  CHECK(stutterer.calls > 0);
  CHECK(f.pool.SegmentsDone("stutterer") == 0);
}

TEST_CASE("a segment that no worker can do is done here, and the others on workers") {
  Fixture f;
  f.options.hold_back = absl::Milliseconds(1);
  f.options.max_remote_tries = 2;
  const auto picky = [](int, grpc::ServerContext&, Stream& stream) -> std::optional<grpc::Status> {
    ReadAll(stream);
    return grpc::Status(grpc::StatusCode::INTERNAL, "cannot do this");
  };
  std::atomic<int> refused = 0;
  // Fails the first calls: the first segments, over and over.
  ScriptedWorker worker("w", [&](int call, grpc::ServerContext& context, Stream& stream) {
    if (call >= 4) return std::optional<grpc::Status>();
    ++refused;
    return picky(call, context, stream);
  });
  f.pool.Update(worker.pool_entry(1));
  f.RunAndCheck();
  CHECK(refused > 0);
}

TEST_CASE("workers come and go during the job") {
  Fixture f;
  ScriptedWorker one("one"), two("two");
  std::atomic<bool> over = false;
  std::thread toggler([&] {
    for (int i = 0; !over; ++i) {
      ScriptedWorker& worker = i % 2 == 0 ? one : two;
      f.pool.Update(worker.pool_entry());
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
      f.pool.Remove((i % 3 == 0 ? one : two).name);
      PoolWorker draining = one.pool_entry();
      draining.draining = true;
      f.pool.Update(draining);
    }
  });
  for (int i = 0; i < 5; ++i) f.RunAndCheck();
  over = true;
  toggler.join();
}

TEST_CASE("a worker that comes takes the rest of the job over") {
  Fixture f;
  ScriptedWorker worker("w");
  MemoryExchange exchange(Image());
  std::thread joiner([&] {
    exchange.AwaitDelivered(1);
    f.pool.Update(worker.pool_entry());
  });
  const absl::Status status = f.Run(exchange);
  joiner.join();
  REQUIRE(status.ok());
  exchange.CheckComplete();
}

TEST_CASE("a cancelled token ends running calls at once") {
  Fixture f;
  worker::WorkerOptions options;
  options.segment_delay = absl::Hours(1);
  ScriptedWorker worker("w", nullptr, options);
  f.pool.Update(worker.pool_entry());
  base::CancelSource cancel;
  MemoryExchange exchange(Image());
  RemoteExecutor executor(f.pool, f.local, f.options);
  std::thread canceller([&] {
    while (worker.calls < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK(executor.busy_workers() == 1);
    cancel.Cancel(absl::AbortedError("the lease is lost"));
  });
  const absl::Status status = executor.Transform(Image().spec, exchange, cancel.token());
  canceller.join();
  CHECK(status == absl::AbortedError("the lease is lost"));
  CHECK(exchange.misuses() == 0);
  CHECK(f.Run(exchange, cancel.token()).code() == absl::StatusCode::kAborted);
}

TEST_CASE("a worker that leaves the pool has its calls cancelled at once") {
  Fixture f;
  worker::WorkerOptions options;
  options.segment_delay = absl::Hours(1);
  ScriptedWorker worker("w", nullptr, options);
  f.pool.Update(worker.pool_entry());
  MemoryExchange exchange(Image());
  std::thread remover([&] {
    while (worker.calls < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    f.pool.Remove("w");
  });
  const absl::Status status = f.Run(exchange);
  remover.join();
  REQUIRE(status.ok());
  exchange.CheckComplete();
}

TEST_CASE("errors of this side end the job") {
  Fixture f;
  ScriptedWorker worker("w");
  if (GENERATE(true, false)) f.pool.Update(worker.pool_entry());
  MemoryExchange exchange(Image());
  SECTION("samples that cannot be read") {
    exchange.fail_read_at = 7;
    CHECK(f.Run(exchange).code() == absl::StatusCode::kInternal);
  }
  SECTION("a result that cannot be written") {
    exchange.fail_deliver_at = 7;
    const absl::Status status = f.Run(exchange);
    CHECK(base::GetErrorDetail(status)->reason == "DISK_FULL");
  }
  CHECK(exchange.misuses() == 0);
}

TEST_CASE("jobs share the workers") {
  Fixture f;
  worker::WorkerOptions options;
  options.segment_delay = absl::Milliseconds(10);
  ScriptedWorker worker("w", nullptr, options);
  f.pool.Update(worker.pool_entry());
  MemoryExchange first(Image()), second(Image());
  absl::Status second_status;
  std::thread starter([&] {
    first.AwaitDelivered(2);
    second_status = f.Run(second);
  });
  const absl::Status status = f.Run(first);
  const uint32_t second_so_far = second.delivered();
  starter.join();
  REQUIRE(status.ok());
  REQUIRE(second_status.ok());
  // It did not wait for the first to end: about every other place was its.
  CHECK(second_so_far > 5);
  first.CheckComplete();
  second.CheckComplete();
}

struct ImageFixture : Fixture {
  std::vector<uint8_t> file;
  engine::Operation operation;

  ImageFixture() {
    std::ifstream in(std::string(getenv("HISTEQ_TEST_DATA")) + "/moon.png", std::ios::binary);
    REQUIRE(in.good());
    std::ostringstream all;
    all << in.rdbuf();
    const std::string text = all.str();
    file.assign(text.begin(), text.end());
    v1::Operation equalize;
    equalize.mutable_equalize();
    operation = *OperationFromProto(equalize);
  }
  absl::StatusOr<engine::ProcessedImage> Process(const base::CancelToken& token = {}) {
    RemoteExecutor executor(pool, local, options);
    return executor.ProcessImage(file, operation, {}, token);
  }
  void ProcessAndCheck() {
    const auto expected = local.ProcessImage(file, operation, {}, {});
    REQUIRE(expected.ok());
    const auto result = Process();
    INFO(result.status());
    REQUIRE(result.ok());
    CHECK((result->file == expected->file));
    CHECK((result->result_bytes == expected->result_bytes));
    CHECK(result->pixels == expected->pixels);
    CHECK(result->statistics.has_value() == expected->statistics.has_value());
  }
};

TEST_CASE("a small image goes to a worker whole") {
  ImageFixture f;
  f.ProcessAndCheck();
  ScriptedWorker worker("w");
  f.pool.Update(worker.pool_entry(1));
  f.ProcessAndCheck();
  CHECK(worker.image_calls == 1);
  CHECK(f.pool.SegmentsDone("w") == 1);
  f.operation.kind = engine::Operation::Kind::kAnalyze;
  f.ProcessAndCheck();
  CHECK(worker.image_calls == 2);
}

TEST_CASE("a small image that needs more memory than a worker has is not sent there") {
  ImageFixture f;
  f.operation.equalize.method = Method::kClahe;
  // 128 MiB of histograms.
  f.operation.equalize.grid_x = f.operation.equalize.grid_y = 256;
  ScriptedWorker worker("w");
  PoolWorker entry = worker.pool_entry(1);
  entry.memory_bytes = entry.free_memory_bytes = 128 << 20;
  f.pool.Update(entry);
  f.ProcessAndCheck();
  CHECK(worker.image_calls == 0);
  entry.memory_bytes = entry.free_memory_bytes = 256 << 20;
  f.pool.Update(entry);
  f.ProcessAndCheck();
  CHECK(worker.image_calls == 1);
  CHECK(f.pool.SegmentsDone("w") == 1);
}

engine::Operation DeriveOperation(bool equalizes) {
  v1::Operation proto;
  v1::Derive& derive = *proto.mutable_derive();
  if (equalizes) derive.mutable_equalize();
  for (const uint32_t size : {40u, 64u, 300u}) {
    v1::Thumbnail& thumbnail = *derive.add_thumbnails();
    thumbnail.set_width(size);
    thumbnail.set_height(size);
    if (size == 64) thumbnail.set_format(v1::IMAGE_FORMAT_JPEG);
  }
  auto operation = OperationFromProto(proto);
  REQUIRE(operation.ok());
  return *operation;
}

TEST_CASE("several results of a small image come from a worker") {
  ImageFixture f;
  f.operation = DeriveOperation(GENERATE(true, false));
  f.ProcessAndCheck();
  ScriptedWorker worker("w");
  f.pool.Update(worker.pool_entry(1));
  f.ProcessAndCheck();
  CHECK(worker.image_calls == 1);
  CHECK(f.pool.SegmentsDone("w") == 1);
}

TEST_CASE("sizes of several results are not believed") {
  ImageFixture f;
  f.options.hold_back = absl::Milliseconds(1);
  f.operation = DeriveOperation(/*equalizes=*/false);
  // The bytes are a worker's; 30 of them in three results.
  const std::vector<std::vector<uint64_t>> lies = {{},
                                                   {30},
                                                   {10, 20},
                                                   {10, 10, 9},
                                                   {10, 10, 11},
                                                   {0, 10, 20},
                                                   {10, ~uint64_t{0} - 9, 30},
                                                   {10, 10, 10, 0}};
  const size_t lie = GENERATE(range(size_t{0}, size_t{8}));
  CAPTURE(lie);
  ScriptedWorker worker(
      "w", nullptr, {},
      [&](int, grpc::ServerContext&, ImageStream& stream) -> std::optional<grpc::Status> {
        v1::ProcessImageRequest request;
        while (stream.Read(&request)) {
        }
        v1::ProcessImageResponse response;
        response.mutable_chunk()->set_data(std::string(30, 'x'));
        SealChunk(0, *response.mutable_chunk());
        stream.Write(response);
        v1::ProcessImageResponse::Finish& finish = *response.mutable_finish();
        finish.set_size_bytes(30);
        finish.mutable_result_bytes()->Assign(lies[lie].begin(), lies[lie].end());
        stream.Write(response);
        return grpc::Status::OK;
      });
  f.pool.Update(worker.pool_entry(1));
  f.ProcessAndCheck();
  CHECK(worker.image_calls > 0);
  CHECK(f.pool.SegmentsDone("w") == 0);
}

TEST_CASE("a small image ends well whatever the worker does") {
  ImageFixture f;
  f.options.hold_back = absl::Milliseconds(1);
  const int kind = GENERATE(0, 1, 2, 3, 4, 5);
  CAPTURE(kind);
  constexpr int kStalls = 2;
  if (kind == kStalls) f.options.stall_timeout = absl::Milliseconds(200);
  ScriptedWorker worker("w", nullptr, {},
                        [&](int call, grpc::ServerContext& context,
                            ImageStream& stream) -> std::optional<grpc::Status> {
                          v1::ProcessImageRequest request;
                          v1::ProcessImageResponse response;
                          response.mutable_chunk()->set_data("garbage");
                          switch (kind) {
                            case 0:
                              return call == 0 ? std::optional(Refusal()) : std::nullopt;
                            case 1:
                              return grpc::Status(grpc::StatusCode::UNAVAILABLE, "dying");
                            case kStalls:
                              while (!context.IsCancelled()) {
                                std::this_thread::sleep_for(std::chrono::milliseconds(5));
                              }
                              return grpc::Status(grpc::StatusCode::CANCELLED, "");
                            case 3:
                              stream.Write(response);
                              return grpc::Status::OK;
                            case 4:
                              while (stream.Read(&request)) {
                              }
                              SealChunk(0, *response.mutable_chunk());
                              stream.Write(response);
                              response.mutable_finish()->set_size_bytes(8);
                              stream.Write(response);
                              return grpc::Status::OK;
                            default:
                              return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                                                  "I do not like it");
                          }
                        });
  f.pool.Update(worker.pool_entry(1));
  f.ProcessAndCheck();
  // On a busy machine the stalling one may not even be reached in its short time.
  if (kind != kStalls) CHECK(worker.image_calls > 0);
}

TEST_CASE("what is wrong with a small image is said as this process would") {
  ImageFixture f;
  ScriptedWorker worker("w");
  f.pool.Update(worker.pool_entry(1));
  f.file.resize(f.file.size() / 2);
  const auto expected = f.local.ProcessImage(f.file, f.operation, {}, {});
  REQUIRE_FALSE(expected.ok());
  const auto result = f.Process();
  CHECK(result.status() == expected.status());
}

TEST_CASE("a small image that is cancelled ends at once") {
  ImageFixture f;
  worker::WorkerOptions options;
  options.segment_delay = absl::Hours(1);
  ScriptedWorker worker("w", nullptr, options);
  f.pool.Update(worker.pool_entry(1));
  base::CancelSource cancel;
  std::thread canceller([&] {
    while (worker.image_calls < 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    cancel.Cancel(absl::AbortedError("the lease is lost"));
  });
  CHECK(f.Process(cancel.token()).status().code() == absl::StatusCode::kAborted);
  canceller.join();
}

}  // namespace
}  // namespace histeq::rpc
