// One real coordinator, with the real engine, against a frontend and workers that do what a test
// wants.

#include <stdlib.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "engine/run_job.h"
#include "engine/thread_executor.h"
#include "fake_job_queue.h"
#include "grpc_coordinator.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "histeq/v1/coordinator.grpc.pb.h"
#include "histeq/v1/worker.grpc.pb.h"
#include "rpc/operation_convert.h"
#include "rpc/status.h"
#include "scratch_files.h"
#include "store/file_roots.h"

namespace histeq::coordinator {
namespace {

using histeq::testing::FakeJobQueue;
using Answer = v1::HeartbeatResponse::LeaseAnswer;

std::string ReadPicture(const std::string& name) {
  const char* folder = getenv("HISTEQ_TEST_DATA");
  REQUIRE(folder != nullptr);
  std::ifstream in(std::filesystem::path(folder) / name, std::ios::binary);
  REQUIRE(in.good());
  std::ostringstream all;
  all << in.rdbuf();
  return all.str();
}

class StringSource final : public base::ByteSource {
 public:
  explicit StringSource(const std::string& bytes) : bytes_(bytes) {}
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    const size_t length = std::min(buffer.size(), bytes_.size() - at_);
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(at_), length, buffer.begin());
    at_ += length;
    return length;
  }

 private:
  const std::string& bytes_;
  size_t at_ = 0;
};

class StringSink final : public base::ByteSink {
 public:
  absl::Status Write(std::span<const uint8_t> bytes) override {
    all.append(bytes.begin(), bytes.end());
    return absl::OkStatus();
  }
  std::string all;
};

v1::Operation EqualizeOperation() {
  v1::Operation operation;
  operation.mutable_equalize();
  return operation;
}

// What the engine makes of `source` in this thread.
std::string LocalResult(const std::string& source, const v1::Operation& proto) {
  const auto operation = rpc::OperationFromProto(proto);
  REQUIRE(operation.ok());
  engine::ThreadExecutor executor(1);
  base::MemoryBudget budget(1 << 30);
  engine::JobOptions options;
  options.budget = &budget;
  options.scratch_dir = std::filesystem::temp_directory_path().string();
  StringSource in(source);
  StringSink out;
  const auto result = engine::RunJob(in, out, *operation, executor, options);
  INFO(result.status());
  REQUIRE(result.ok());
  return out.all;
}

CoordinatorOptions TestOptions(const FakeJobQueue& frontend) {
  CoordinatorOptions options;
  options.frontend = frontend.address();
  options.name = "coordinator-under-test";
  options.address = "127.0.0.1:1";
  options.version = "test";
  options.job_slots = 2;
  options.threads = 1;
  options.lease_wait = absl::Milliseconds(500);
  options.heartbeat_timeout = absl::Seconds(2);
  options.stall_timeout = absl::Seconds(5);
  options.jobs.scratch_dir = std::filesystem::temp_directory_path().string();
  return options;
}

struct Fixture {
  FakeJobQueue frontend;
  std::unique_ptr<Coordinator> coordinator;

  Fixture() { frontend.Start(); }
  ~Fixture() {
    // Whatever the test left blocked must not keep the drain waiting.
    frontend.Change([](FakeJobQueue::Script& script) {
      script.hold_source = script.hold_complete = script.mute_heartbeat = false;
    });
    coordinator.reset();
  }

  void StartCoordinator() { StartCoordinator(TestOptions(frontend)); }
  void StartCoordinator(CoordinatorOptions options) {
    coordinator = std::make_unique<Coordinator>(std::move(options));
    coordinator->Start();
  }
};

// A folder with one file.
struct Storage {
  std::filesystem::path folder;
  explicit Storage(const std::string& bytes) {
    std::string name = (std::filesystem::temp_directory_path() / "histeq-node-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    folder = name;
    Write(bytes);
  }
  ~Storage() { std::filesystem::remove_all(folder); }
  void Write(const std::string& bytes) const {
    std::ofstream(folder / "a.png", std::ios::binary) << bytes;
  }
};

v1::Operation InspectOperation() {
  v1::Operation operation;
  operation.mutable_inspect();
  return operation;
}

TEST_CASE("an inspection says what the file is, from the frontend's bytes") {
  Fixture f;
  const std::string moon = ReadPicture("moon.png");
  f.frontend.AddJob("moon", moon, InspectOperation());
  f.frontend.AddJob("text", "no picture at all", InspectOperation());
  f.StartCoordinator();
  REQUIRE(f.frontend.WaitForState("moon", v1::JOB_STATE_SUCCEEDED, absl::Seconds(60)));
  const auto job = f.frontend.job("moon");
  REQUIRE(job.inspected.has_value());
  CHECK(job.inspected->size_bytes() == moon.size());
  CHECK(job.inspected->sha256() == histeq::testing::Sha256Of(moon));
  CHECK(job.inspected->format() == v1::IMAGE_FORMAT_PNG);
  CHECK(job.inspected->width() == 512);
  CHECK_FALSE(job.inspected->has_modify_time());
  REQUIRE(f.frontend.WaitForFailure("text", absl::Seconds(60)));
  const auto text = f.frontend.job("text");
  CHECK(text.failures.back().outcome() == v1::FailJobRequest::OUTCOME_PERMANENT);
  CHECK(text.failures.back().error().reason() == "NOT_AN_IMAGE");
}

TEST_CASE("a coordinator reads the files of its own storage itself") {
  Fixture f;
  const std::string moon = ReadPicture("moon.png");
  const Storage storage(moon);
  CoordinatorOptions options = TestOptions(f.frontend);
  auto roots = store::StorageRoots::Open({"disk1=" + storage.folder.string()});
  REQUIRE(roots.ok());
  options.storage = *std::move(roots);
  options.max_registered_bytes = 1 << 20;
  std::ofstream(storage.folder / "sparse.png", std::ios::binary) << moon;
  std::filesystem::resize_file(storage.folder / "sparse.png", uint64_t{8} << 40);
  const auto add = [&f](const std::string& id, const std::string& location,
                        const v1::Operation& operation, const std::string& source = "",
                        std::optional<google::protobuf::Timestamp> modify_time = {}) {
    FakeJobQueue::JobRecord job;
    job.id = job.name = id;
    job.location = location;
    job.operation = operation;
    job.source = source;
    job.announced_sha256 = histeq::testing::Sha256Of(source);
    job.modify_time = modify_time;
    f.frontend.AddJob(job);
  };
  add("inspect", "node://disk1/a.png", InspectOperation());
  add("missing", "node://disk1/b.png", InspectOperation());
  add("sparse", "node://disk1/sparse.png", InspectOperation());
  add("nowhere", "node://disk2/a.png", InspectOperation());
  f.StartCoordinator(std::move(options));
  REQUIRE(f.frontend.WaitForState("inspect", v1::JOB_STATE_SUCCEEDED, absl::Seconds(60)));
  const auto inspected = f.frontend.job("inspect");
  REQUIRE(inspected.inspected.has_value());
  CHECK(inspected.inspected->sha256() == histeq::testing::Sha256Of(moon));
  REQUIRE(inspected.inspected->has_modify_time());
  CHECK(inspected.source_offsets.empty());
  REQUIRE(f.frontend.WaitForFailure("missing", absl::Seconds(60)));
  CHECK(f.frontend.job("missing").failures.back().error().reason() == "FILE_NOT_FOUND");
  CHECK(f.frontend.job("missing").failures.back().outcome() ==
        v1::FailJobRequest::OUTCOME_PERMANENT);
  REQUIRE(f.frontend.WaitForFailure("sparse", absl::Seconds(60)));
  CHECK(f.frontend.job("sparse").failures.back().error().reason() == "FILE_TOO_LARGE");
  // Not an attempt that counts: it waits for whoever has the storage.
  REQUIRE(f.frontend.WaitForFailure("nowhere", absl::Seconds(60)));
  CHECK(f.frontend.job("nowhere").failures.back().error().reason() == "STORAGE_GONE");
  CHECK(f.frontend.job("nowhere").failures.back().outcome() ==
        v1::FailJobRequest::OUTCOME_HAND_BACK);

  const auto time = inspected.inspected->modify_time();
  add("equalize", "node://disk1/a.png", EqualizeOperation(), moon, time);
  REQUIRE(f.frontend.WaitForState("equalize", v1::JOB_STATE_SUCCEEDED, absl::Seconds(60)));
  CHECK((f.frontend.job("equalize").result == LocalResult(moon, EqualizeOperation())));
  CHECK(f.frontend.job("equalize").source_offsets.empty());
  // As large and of the same time, with other bytes.
  std::string other = moon;
  other.back() = static_cast<char>(other.back() ^ 1);
  const auto written = std::filesystem::last_write_time(storage.folder / "a.png");
  storage.Write(other);
  std::filesystem::last_write_time(storage.folder / "a.png", written);
  add("other", "node://disk1/a.png", EqualizeOperation(), moon, time);
  REQUIRE(f.frontend.WaitForFailure("other", absl::Seconds(60)));
  CHECK(f.frontend.job("other").failures.back().outcome() == v1::FailJobRequest::OUTCOME_PERMANENT);
  // Of another size.
  storage.Write(moon + "x");
  add("larger", "node://disk1/a.png", EqualizeOperation(), moon, time);
  REQUIRE(f.frontend.WaitForFailure("larger", absl::Seconds(60)));
  CHECK(f.frontend.job("larger").failures.back().error().reason() == "SOURCE_CHANGED");
  CHECK(f.frontend.job("larger").result.empty());
}

TEST_CASE("a job's result is what the engine makes of it in one thread") {
  Fixture f;
  const v1::Operation operation = EqualizeOperation();
  const std::vector<std::string> names = {"moon.png", "coffee.png", "rocket.jpg",
                                          "hubble_deep_field.jpg"};
  for (const std::string& name : names) f.frontend.AddJob(name, ReadPicture(name), operation);
  f.StartCoordinator();
  for (const std::string& name : names) {
    CAPTURE(name);
    REQUIRE(f.frontend.WaitForState(name, v1::JOB_STATE_SUCCEEDED, absl::Seconds(60)));
    const auto job = f.frontend.job(name);
    CHECK(job.completions == 1);
    CHECK(job.failures.empty());
    CHECK((job.result == LocalResult(job.source, operation)));
    CHECK_FALSE(job.result == job.source);
  }
}

TEST_CASE("the budget for images changes where bytes wait, not what they are") {
  Fixture f;
  const std::string source = ReadPicture("hubble_deep_field.jpg");
  f.frontend.AddJob("job", source, EqualizeOperation());
  CoordinatorOptions options = TestOptions(f.frontend);
  options.jobs.image_budget_bytes = 0;
  options.jobs.read_ahead_bytes = 1;
  f.StartCoordinator(options);
  REQUIRE(f.frontend.WaitForState("job", v1::JOB_STATE_SUCCEEDED, absl::Seconds(60)));
  CHECK((f.frontend.job("job").result == LocalResult(source, EqualizeOperation())));
}

TEST_CASE("a source that breaks is read on from where it broke") {
  Fixture f;
  const std::string source = ReadPicture("hubble_deep_field.jpg");
  f.frontend.AddJob("job", source, EqualizeOperation());
  std::vector<uint64_t> offsets;
  SECTION("an error in the middle") {
    f.frontend.Change([](FakeJobQueue::Script& script) {
      script.break_source = 3;
      script.break_source_after = 50'000;
    });
    offsets = {0, 50'000, 100'000, 150'000};
  }
  SECTION("an end that comes too early") {
    f.frontend.Change([](FakeJobQueue::Script& script) {
      script.end_source_early = 1;
      script.break_source_after = 50'000;
    });
    offsets = {0, 50'000};
  }
  SECTION("a chunk that does not fit its checksum") {
    f.frontend.Change([](FakeJobQueue::Script& script) { script.corrupt_source = 1; });
    offsets = {0, 0};
  }
  f.StartCoordinator();
  REQUIRE(f.frontend.WaitForState("job", v1::JOB_STATE_SUCCEEDED, absl::Seconds(60)));
  const auto job = f.frontend.job("job");
  CHECK(job.source_offsets == offsets);
  CHECK((job.result == LocalResult(source, EqualizeOperation())));
}

TEST_CASE("a small source that comes with its lease is not asked for") {
  Fixture f;
  const std::string source = ReadPicture("rocket.jpg");
  std::string announced;
  std::vector<uint64_t> offsets;
  f.frontend.Change([](FakeJobQueue::Script& script) { script.inline_source_bytes = 1 << 20; });
  SECTION("whole") {}
  SECTION("one that is damaged is read again") {
    f.frontend.Change([](FakeJobQueue::Script& script) { script.corrupt_inline_source = 1; });
    offsets = {0};
  }
  SECTION("one that is not what was uploaded ends the job") {
    announced = histeq::testing::Sha256Of("something else");
  }
  f.frontend.AddJob("job", source, EqualizeOperation(), announced);
  f.StartCoordinator();
  if (!announced.empty()) {
    REQUIRE(f.frontend.WaitForFailure("job", absl::Seconds(60)));
    const auto job = f.frontend.job("job");
    CHECK(job.failures[0].outcome() == v1::FailJobRequest::OUTCOME_PERMANENT);
    CHECK(job.failures[0].error().reason() == "SOURCE_CHANGED");
    CHECK(job.completions == 0);
    return;
  }
  REQUIRE(f.frontend.WaitForState("job", v1::JOB_STATE_SUCCEEDED, absl::Seconds(60)));
  const auto job = f.frontend.job("job");
  CHECK(job.source_offsets == offsets);
  CHECK((job.result == LocalResult(source, EqualizeOperation())));
}

TEST_CASE("a source that cannot be read where it is damaged ends the attempt") {
  Fixture f;
  f.frontend.AddJob("job", ReadPicture("hubble_deep_field.jpg"), EqualizeOperation());
  absl::Status error;
  std::string reason;
  auto outcome = v1::FailJobRequest::OUTCOME_RETRY;
  SECTION("a disk that fails") {
    reason = "STORE_IO";
    error = base::MakeError(absl::StatusCode::kInternal, "input/output error", {.reason = reason});
  }
  SECTION("a file that is damaged") {
    reason = "BLOB_DAMAGED";
    error = base::MakeError(absl::StatusCode::kDataLoss, "the file is short", {.reason = reason});
    outcome = v1::FailJobRequest::OUTCOME_PERMANENT;
  }
  SECTION("a file that is shorter than it was, as if that were its end") {
    reason = "SOURCE_CHANGED";
    outcome = v1::FailJobRequest::OUTCOME_PERMANENT;
  }
  f.frontend.Change([&](FakeJobQueue::Script& script) {
    script.source_damaged_at = 50'000;
    script.source_error = rpc::ToGrpc(error);
  });
  f.StartCoordinator();
  REQUIRE(f.frontend.WaitForFailure("job", absl::Seconds(60)));
  const auto job = f.frontend.job("job");
  CHECK(job.failures[0].outcome() == outcome);
  CHECK(job.failures[0].error().reason() == reason);
  CHECK(job.source_offsets == std::vector<uint64_t>{0, 50'000, 50'000});
}

TEST_CASE("a source that is out of reach, or asks for patience, is tried as often as it takes") {
  Fixture f;
  const std::string source = ReadPicture("moon.png");
  f.frontend.AddJob("job", source, EqualizeOperation());
  grpc::Status error(grpc::StatusCode::UNAVAILABLE, "out of reach");
  SECTION("out of reach") {}
  SECTION("busy") {
    error = rpc::ToGrpc(
        base::MakeError(absl::StatusCode::kResourceExhausted, "busy",
                        {.reason = "TOO_MANY_CALLS", .retry_after = absl::Milliseconds(1)}));
  }
  f.frontend.Change([&](FakeJobQueue::Script& script) {
    script.break_source = 4;
    script.source_error = error;
  });
  f.StartCoordinator();
  REQUIRE(f.frontend.WaitForState("job", v1::JOB_STATE_SUCCEEDED, absl::Seconds(60)));
  const auto job = f.frontend.job("job");
  CHECK(job.source_offsets == std::vector<uint64_t>(5, 0));
  CHECK(job.failures.empty());
}

TEST_CASE("a source on which nothing moves is opened again") {
  Fixture f;
  const std::string source = ReadPicture("hubble_deep_field.jpg");
  f.frontend.AddJob("job", source, EqualizeOperation());
  f.frontend.Change([](FakeJobQueue::Script& script) { script.hold_source = true; });
  CoordinatorOptions options = TestOptions(f.frontend);
  options.stall_timeout = absl::Milliseconds(300);
  f.StartCoordinator(options);
  REQUIRE(f.frontend.WaitFor(
      [](FakeJobQueue& self) { return self.record("job").source_offsets.size() >= 2; }));
  f.frontend.Change([](FakeJobQueue::Script& script) { script.hold_source = false; });
  REQUIRE(f.frontend.WaitForState("job", v1::JOB_STATE_SUCCEEDED, absl::Seconds(60)));
  const auto job = f.frontend.job("job");
  CHECK(job.source_offsets[1] > 0);
  CHECK((job.result == LocalResult(source, EqualizeOperation())));
}

TEST_CASE("as many jobs run at once as there are slots, in the order of the queue") {
  Fixture f;
  for (const char* id : {"a", "b", "c"}) {
    f.frontend.AddJob(id, ReadPicture("moon.png"), EqualizeOperation());
  }
  f.frontend.Change([](FakeJobQueue::Script& script) { script.hold_source = true; });
  f.StartCoordinator();
  REQUIRE(f.frontend.WaitFor([](FakeJobQueue& self) {
    return !self.record("a").source_offsets.empty() && !self.record("b").source_offsets.empty();
  }));
  CHECK(f.coordinator->jobs_running() == 2);
  CHECK(f.frontend.job("c").state == v1::JOB_STATE_QUEUED);
  f.frontend.Change([](FakeJobQueue::Script& script) { script.hold_source = false; });
  for (const char* id : {"a", "b", "c"}) {
    CHECK(f.frontend.WaitForState(id, v1::JOB_STATE_SUCCEEDED));
  }
}

TEST_CASE("a result is sent again until the frontend has it, once") {
  Fixture f;
  const std::string source = ReadPicture("hubble_deep_field.jpg");
  f.frontend.AddJob("job", source, EqualizeOperation());
  SECTION("broken in the middle") {
    f.frontend.Change([](FakeJobQueue::Script& script) {
      script.break_complete = 2;
      script.break_complete_after = 100'000;
    });
  }
  SECTION("refused for a checksum") {
    f.frontend.Change([](FakeJobQueue::Script& script) {
      script.break_complete = 1;
      script.break_complete_after = uint64_t{1} << 40;
      script.complete_error = {grpc::StatusCode::DATA_LOSS, "checksum"};
    });
  }
  SECTION("the disk is full for a while") {
    f.frontend.Change([](FakeJobQueue::Script& script) {
      script.break_complete = 1;
      script.complete_error = {grpc::StatusCode::RESOURCE_EXHAUSTED, "disk full"};
    });
  }
  SECTION("accepted, but the answer is lost") {
    f.frontend.Change([](FakeJobQueue::Script& script) { script.lose_complete_answer = 1; });
  }
  f.StartCoordinator();
  REQUIRE(f.frontend.WaitForState("job", v1::JOB_STATE_SUCCEEDED, absl::Seconds(60)));
  REQUIRE(f.frontend.WaitFor(
      [](FakeJobQueue& self) { return self.record("job").complete_calls >= 2; }));
  const auto job = f.frontend.job("job");
  CHECK(job.completions == 1);
  CHECK(job.failures.empty());
  CHECK((job.result == LocalResult(source, EqualizeOperation())));
}

TEST_CASE("a result that the frontend cannot keep is given back for another attempt") {
  Fixture f;
  f.frontend.AddJob("job", ReadPicture("hubble_deep_field.jpg"), EqualizeOperation());
  absl::Status error;
  SECTION("its disk is full") {
    error = base::MakeError(absl::StatusCode::kResourceExhausted, "no space left",
                            {.reason = "DISK_FULL"});
  }
  SECTION("its disk fails") {
    error =
        base::MakeError(absl::StatusCode::kInternal, "input/output error", {.reason = "STORE_IO"});
  }
  SECTION("it never gets what was sent") {
    error = base::MakeError(absl::StatusCode::kDataLoss, "damaged on the way",
                            {.reason = "CHECKSUM_MISMATCH"});
  }
  f.frontend.Change([&](FakeJobQueue::Script& script) {
    script.break_complete = 1'000'000;
    script.complete_error = rpc::ToGrpc(error);
  });
  f.StartCoordinator();
  REQUIRE(f.frontend.WaitForFailure("job", absl::Seconds(60)));
  const auto job = f.frontend.job("job");
  CHECK(job.failures[0].outcome() == v1::FailJobRequest::OUTCOME_RETRY);
  CHECK(job.failures[0].error().reason() == base::GetErrorDetail(error)->reason);
  CHECK(job.complete_calls == 3);
}

TEST_CASE("a result is sent as often as it takes to a frontend that is out of reach") {
  Fixture f;
  f.frontend.AddJob("job", ReadPicture("moon.png"), EqualizeOperation());
  f.frontend.Change([&](FakeJobQueue::Script& script) { script.break_complete = 4; });
  f.StartCoordinator();
  REQUIRE(f.frontend.WaitForState("job", v1::JOB_STATE_SUCCEEDED, absl::Seconds(60)));
  const auto job = f.frontend.job("job");
  CHECK(job.complete_calls == 5);
  CHECK(job.failures.empty());
}

TEST_CASE("a result that is lost before the frontend has it is given back for another attempt") {
  Fixture f;
  std::string folder = (std::filesystem::temp_directory_path() / "coordinatorXXXXXX").string();
  REQUIRE(mkdtemp(folder.data()) != nullptr);
  f.frontend.AddJob("job", ReadPicture("hubble_deep_field.jpg"), EqualizeOperation());
  f.frontend.Change([](FakeJobQueue::Script& script) { script.hold_complete = true; });
  CoordinatorOptions options = TestOptions(f.frontend);
  options.jobs.image_budget_bytes = 0;
  options.jobs.scratch_dir = folder;
  f.StartCoordinator(options);
  // Then the result is whole, in its file, and the frontend has nothing of it.
  REQUIRE(f.frontend.WaitFor(
      [](FakeJobQueue& self) {
        return self.record("job").progress.stage() == v1::JOB_STAGE_UPLOAD &&
               self.record("job").complete_calls > 0;
      },
      absl::Seconds(60)));
  CHECK(testing::CutScratchFiles(folder) > 0);
  f.frontend.Change([](FakeJobQueue::Script& script) {
    script.hold_complete = false;
    // What was on its way already.
    script.break_complete = 1;
  });
  REQUIRE(f.frontend.WaitForFailure("job", absl::Seconds(60)));
  const auto job = f.frontend.job("job");
  CHECK(job.failures[0].outcome() == v1::FailJobRequest::OUTCOME_RETRY);
  CHECK(job.failures[0].error().reason() == "SCRATCH_FAILED");
  CHECK(job.completions == 0);
  std::filesystem::remove_all(folder);
}

TEST_CASE("several results are sent one after the other, all of them again after a broken try") {
  Fixture f;
  f.frontend.Change([](FakeJobQueue::Script& script) {
    script.break_complete = 1;
    script.break_complete_after = 0;
  });
  const std::string moon = ReadPicture("moon.png");
  v1::Operation operation;
  v1::Derive& derive = *operation.mutable_derive();
  const bool equalizes = GENERATE(false, true);
  if (equalizes) derive.mutable_equalize();
  for (const uint32_t size : {100, 50}) {
    v1::Thumbnail& thumbnail = *derive.add_thumbnails();
    thumbnail.set_width(size);
    thumbnail.set_height(size);
  }
  f.frontend.AddJob("moon", moon, operation);
  f.StartCoordinator();
  REQUIRE(f.frontend.WaitForState("moon", v1::JOB_STATE_SUCCEEDED, absl::Seconds(60)));
  const auto job = f.frontend.job("moon");
  CHECK(job.completions == 1);
  CHECK(job.complete_calls == 2);
  REQUIRE(job.results.size() == (equalizes ? 3 : 2));
  std::string joined;
  for (const std::string& result : job.results) {
    CHECK(result.size() > 8);
    CHECK(result.substr(1, 3) == "PNG");
    joined += result;
  }
  CHECK(joined == LocalResult(moon, operation));
}

TEST_CASE("a frontend that restarts in the middle of a job finds it still held") {
  Fixture f;
  const std::string source = ReadPicture("hubble_deep_field.jpg");
  f.frontend.AddJob("job", source, EqualizeOperation());
  bool during_source = GENERATE(true, false);
  f.frontend.Change([&](FakeJobQueue::Script& script) {
    (during_source ? script.hold_source : script.hold_complete) = true;
  });
  f.StartCoordinator();
  REQUIRE(f.frontend.WaitFor([&](FakeJobQueue& self) {
    return during_source ? !self.record("job").source_offsets.empty()
                         : self.record("job").complete_calls > 0;
  }));
  f.frontend.Stop();
  f.frontend.Change(
      [](FakeJobQueue::Script& script) { script.hold_source = script.hold_complete = false; });
  f.frontend.Start();
  REQUIRE(f.frontend.WaitForState("job", v1::JOB_STATE_SUCCEEDED, absl::Seconds(60)));
  const auto job = f.frontend.job("job");
  CHECK(job.epoch == 1);
  CHECK(job.completions == 1);
  CHECK((job.result == LocalResult(source, EqualizeOperation())));
}

TEST_CASE("a lost lease ends the work without a word about the job") {
  Fixture f;
  f.frontend.AddJob("job", ReadPicture("hubble_deep_field.jpg"), EqualizeOperation());
  f.frontend.Change([](FakeJobQueue::Script& script) { script.hold_source = true; });
  SECTION("by the heartbeat's verdict") {
    f.StartCoordinator();
    REQUIRE(f.frontend.WaitFor(
        [](FakeJobQueue& self) { return !self.record("job").source_offsets.empty(); }));
    f.frontend.TakeAway("job");
  }
  SECTION("by the answer to a call") {
    f.frontend.SetTimes(absl::Seconds(60), absl::Seconds(60));
    f.StartCoordinator();
    REQUIRE(f.frontend.WaitFor(
        [](FakeJobQueue& self) { return !self.record("job").source_offsets.empty(); }));
    f.frontend.TakeAway("job");
    f.frontend.Change([](FakeJobQueue::Script& script) { script.hold_source = false; });
  }
  SECTION("by its own clock when nobody answers") {
    f.frontend.SetTimes(absl::Milliseconds(100), absl::Milliseconds(1500));
    f.StartCoordinator();
    REQUIRE(f.frontend.WaitFor(
        [](FakeJobQueue& self) { return !self.record("job").source_offsets.empty(); }));
    f.frontend.Change([](FakeJobQueue::Script& script) { script.mute_heartbeat = true; });
  }
  const auto begin = std::chrono::steady_clock::now();
  while (f.coordinator->jobs_running() > 0 &&
         std::chrono::steady_clock::now() - begin < std::chrono::seconds(30)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(f.coordinator->jobs_running() == 0);
  const auto job = f.frontend.job("job");
  CHECK(job.completions == 0);
  CHECK(job.failures.empty());
}

TEST_CASE("a cancelled job is stopped and answered") {
  Fixture f;
  f.frontend.AddJob("job", ReadPicture("hubble_deep_field.jpg"), EqualizeOperation());
  f.frontend.Change([](FakeJobQueue::Script& script) {
    script.hold_source = true;
    script.break_fail = 2;
  });
  f.StartCoordinator();
  REQUIRE(f.frontend.WaitFor(
      [](FakeJobQueue& self) { return !self.record("job").source_offsets.empty(); }));
  f.frontend.Change(
      [](FakeJobQueue::Script& script) { script.verdicts["job"] = Answer::VERDICT_CANCEL; });
  REQUIRE(f.frontend.WaitForFailure("job"));
  const auto job = f.frontend.job("job");
  REQUIRE(job.failures.size() == 1);
  CHECK(job.failures[0].outcome() == v1::FailJobRequest::OUTCOME_CANCELLED);
  CHECK(job.failures[0].error().code() == grpc::StatusCode::CANCELLED);
  CHECK(job.completions == 0);
}

TEST_CASE("a drain lets jobs end, and hands back those that do not") {
  Fixture f;
  f.frontend.AddJob("slow", ReadPicture("moon.png"), EqualizeOperation());
  f.frontend.Change([](FakeJobQueue::Script& script) { script.hold_source = true; });
  CoordinatorOptions options = TestOptions(f.frontend);
  options.job_slots = 1;
  f.StartCoordinator(options);
  // Stays in the queue: the only slot is taken.
  f.frontend.AddJob("next", ReadPicture("moon.png"), EqualizeOperation());
  REQUIRE(f.frontend.WaitFor(
      [](FakeJobQueue& self) { return !self.record("slow").source_offsets.empty(); }));
  SECTION("in time") {
    std::thread drain([&] { f.coordinator->Drain(absl::Seconds(60)); });
    REQUIRE(f.frontend.WaitFor([](FakeJobQueue& self) {
      return !self.heard().empty() && self.heard().back().coordinator().draining();
    }));
    f.frontend.Change([](FakeJobQueue::Script& script) { script.hold_source = false; });
    drain.join();
    CHECK(f.frontend.job("slow").state == v1::JOB_STATE_SUCCEEDED);
  }
  SECTION("too late") {
    f.coordinator->Drain(absl::Milliseconds(100));
    const auto job = f.frontend.job("slow");
    REQUIRE(job.failures.size() == 1);
    CHECK(job.failures[0].outcome() == v1::FailJobRequest::OUTCOME_HAND_BACK);
  }
  CHECK(f.frontend.job("next").state == v1::JOB_STATE_QUEUED);
  const auto last = f.frontend.heartbeats().back();
  CHECK(last.coordinator().draining());
  CHECK(last.leases_size() == 0);
}

TEST_CASE("what cannot succeed anywhere fails for good, with its reason") {
  Fixture f;
  std::string source = ReadPicture("moon.png");
  std::string announced;
  v1::Operation operation = EqualizeOperation();
  std::string reason;
  uint64_t small_image_bytes = 1 << 20;
  SECTION("not an image") {
    source = "BAD, this is a text, not an image, and it is long enough to be read as a header";
    reason = "NOT_AN_IMAGE";
  }
  SECTION("truncated") {
    source.resize(source.size() / 2);
    reason = "IMAGE_TRUNCATED";
  }
  SECTION("an operation that cannot be") {
    operation.mutable_thumbnail()->set_width(10);
    reason = "BAD_PARAMETER";
  }
  SECTION("a stored file that changed") {
    announced = std::string(32, 'x');
    reason = "SOURCE_CHANGED";
    // Whole, and in segments, where the decoder does not look for the end of the file.
    small_image_bytes = GENERATE(0, 1 << 20);
    source = ReadPicture(GENERATE("moon.png", "hubble_deep_field.jpg"));
    if (GENERATE(false, true)) operation.mutable_analyze();
  }
  f.frontend.AddJob("job", source, operation, announced);
  CoordinatorOptions options = TestOptions(f.frontend);
  options.jobs.small_image_bytes = small_image_bytes;
  f.StartCoordinator(options);
  REQUIRE(f.frontend.WaitForFailure("job"));
  const auto job = f.frontend.job("job");
  REQUIRE(job.failures.size() == 1);
  CHECK(job.failures[0].outcome() == v1::FailJobRequest::OUTCOME_PERMANENT);
  CHECK(job.failures[0].error().reason() == reason);
  CHECK_FALSE(job.failures[0].error().message().empty());
  CHECK(job.completions == 0);
}

TEST_CASE("what may succeed elsewhere is given back for another attempt") {
  Fixture f;
  f.frontend.AddJob("job", ReadPicture("hubble_deep_field.jpg"), EqualizeOperation());
  CoordinatorOptions options = TestOptions(f.frontend);
  options.jobs.image_budget_bytes = 0;
  options.jobs.scratch_dir = "/nonexistent/scratch";
  f.StartCoordinator(options);
  REQUIRE(f.frontend.WaitForFailure("job"));
  const auto job = f.frontend.job("job");
  CHECK(job.failures[0].outcome() == v1::FailJobRequest::OUTCOME_RETRY);
  CHECK_THAT(job.failures[0].error().message(), Catch::Contains("/nonexistent/scratch"));
}

TEST_CASE("heartbeats carry who this is, what it holds and how far it is") {
  Fixture f;
  f.frontend.AddJob("job", ReadPicture("hubble_deep_field.jpg"), EqualizeOperation());
  f.frontend.Change([](FakeJobQueue::Script& script) { script.hold_complete = true; });
  f.frontend.SetTimes(absl::Seconds(30), absl::Seconds(90));
  f.StartCoordinator();
  // Long before the interval is over: a lease and a new stage are news.
  REQUIRE(f.frontend.WaitFor([](FakeJobQueue& self) {
    return self.record("job").progress.stage() == v1::JOB_STAGE_UPLOAD;
  }));
  const auto heartbeat = f.frontend.heartbeats().back();
  CHECK(heartbeat.coordinator().name() == "coordinator-under-test");
  CHECK(heartbeat.coordinator().address() == "127.0.0.1:1");
  CHECK(heartbeat.coordinator().job_slots() == 2);
  CHECK(heartbeat.coordinator().jobs_running() == 1);
  CHECK(heartbeat.coordinator().version() == "test");
  REQUIRE(heartbeat.leases_size() == 1);
  CHECK(heartbeat.leases(0).job_id() == "job");
  CHECK(heartbeat.leases(0).epoch() == 1);
}

TEST_CASE("a coordinator that is refused leases nothing until it is accepted") {
  Fixture f;
  f.frontend.AddJob("job", ReadPicture("moon.png"), EqualizeOperation());
  f.frontend.Change([](FakeJobQueue::Script& script) {
    script.heartbeat_error = {grpc::StatusCode::PERMISSION_DENIED, "not on the list"};
  });
  f.StartCoordinator();
  CHECK_FALSE(f.frontend.WaitForState("job", v1::JOB_STATE_RUNNING, absl::Milliseconds(500)));
  f.frontend.Change([](FakeJobQueue::Script& script) { script.heartbeat_error = grpc::Status(); });
  CHECK(f.frontend.WaitForState("job", v1::JOB_STATE_SUCCEEDED));
}

TEST_CASE("a reference image gives its histogram, by its statistics or by its bytes") {
  Fixture f;
  const std::string source = ReadPicture("moon.png");
  const std::string reference = ReadPicture("coffee.png");
  // What the luma of the reference looks like.
  v1::Operation analyze;
  analyze.mutable_analyze();
  FakeJobQueue::JobRecord look;
  look.id = "look";
  look.source = reference;
  look.operation = analyze;
  f.frontend.AddJob(look);
  f.StartCoordinator();
  REQUIRE(f.frontend.WaitForState("look", v1::JOB_STATE_SUCCEEDED, absl::Seconds(60)));
  const auto looked = f.frontend.job("look");
  REQUIRE(looked.statistics.has_value());
  REQUIRE(looked.result.empty());
  v1::Operation by_histogram;
  by_histogram.mutable_equalize()->set_method(v1::Equalize::METHOD_MATCH);
  *by_histogram.mutable_equalize()->mutable_reference_histogram() =
      looked.statistics->channels(0).histogram();
  const std::string expected = LocalResult(source, by_histogram);

  FakeJobQueue::JobRecord job;
  job.id = "job";
  job.source = source;
  job.operation.mutable_equalize()->set_method(v1::Equalize::METHOD_MATCH);
  job.operation.mutable_equalize()->set_reference_image_id("there");
  const bool kept = GENERATE(true, false);
  job.reference = reference;
  if (kept) job.reference_statistics = looked.statistics;
  f.frontend.AddJob(job);
  REQUIRE(f.frontend.WaitForState("job", v1::JOB_STATE_SUCCEEDED, absl::Seconds(60)));
  const auto done = f.frontend.job("job");
  CHECK((done.result == expected));
  CHECK(done.reference_offsets.size() == (kept ? 0 : 1));
}

TEST_CASE("a broken reference image is the job's end, and named as such") {
  Fixture f;
  FakeJobQueue::JobRecord job;
  job.id = "job";
  job.source = ReadPicture("moon.png");
  job.operation.mutable_equalize()->set_method(v1::Equalize::METHOD_MATCH);
  job.operation.mutable_equalize()->set_reference_image_id("there");
  std::string reason;
  SECTION("not an image") {
    job.reference = std::string(1000, 'x');
    reason = "NOT_AN_IMAGE";
  }
  SECTION("deleted meanwhile") { reason = "REFERENCE_MISSING"; }
  CoordinatorOptions options = TestOptions(f.frontend);
  SECTION("a stored file that changed") {
    job.reference = ReadPicture("coffee.png");
    job.announced_reference_sha256 = std::string(32, 'x');
    options.jobs.small_image_bytes = GENERATE(0, 1 << 20);
    reason = "SOURCE_CHANGED";
  }
  f.frontend.AddJob(job);
  f.StartCoordinator(options);
  REQUIRE(f.frontend.WaitForFailure("job"));
  const auto failure = f.frontend.job("job").failures[0];
  CHECK(failure.outcome() == v1::FailJobRequest::OUTCOME_PERMANENT);
  CHECK(failure.error().reason() == reason);
  CHECK_THAT(failure.error().message(), Catch::Contains("reference image"));
}

// A worker that can be called back, and no more.
class FakeWorker final : private v1::Worker::Service {
 public:
  explicit FakeWorker(std::string name) : name_(std::move(name)) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    REQUIRE(server_ != nullptr);
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  ~FakeWorker() override { server_->Shutdown(std::chrono::system_clock::now()); }
  const std::string& address() const { return address_; }

 private:
  grpc::Status GetStatus(grpc::ServerContext*, const v1::WorkerGetStatusRequest*,
                         v1::WorkerGetStatusResponse* response) override {
    response->mutable_worker()->set_name(name_);
    return grpc::Status::OK;
  }
  const std::string name_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

// The Coordinator service on a port of its own.
struct ServedFixture : Fixture {
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<v1::Coordinator::Stub> stub;

  explicit ServedFixture(absl::Duration gone_after = absl::Seconds(20)) {
    CoordinatorOptions options = TestOptions(frontend);
    options.worker_gone_after = gone_after;
    options.worker_interval = absl::Seconds(3);
    options.probe_timeout = absl::Seconds(2);
    StartCoordinator(options);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(coordinator->service());
    server = builder.BuildAndStart();
    REQUIRE(server != nullptr);
    stub = v1::Coordinator::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                                        grpc::InsecureChannelCredentials()));
  }
  ~ServedFixture() {
    coordinator->Drain(absl::ZeroDuration());
    server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
    server->Wait();
  }

  v1::CoordinatorGetStatusResponse Status() {
    grpc::ClientContext context;
    v1::CoordinatorGetStatusResponse response;
    REQUIRE(stub->GetStatus(&context, {}, &response).ok());
    return response;
  }
};

// One worker's stream.
struct Attachment {
  grpc::ClientContext context;
  std::unique_ptr<
      grpc::ClientReaderWriter<v1::CoordinatorHeartbeatRequest, v1::CoordinatorHeartbeatResponse>>
      stream;
  v1::CoordinatorHeartbeatRequest request;
  v1::CoordinatorHeartbeatResponse response;

  Attachment(v1::Coordinator::Stub& stub, const std::string& name, const std::string& address,
             uint32_t slots = 2) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    stream = stub.Heartbeat(&context);
    request.mutable_worker()->set_name(name);
    request.mutable_worker()->set_address(address);
    request.mutable_worker()->set_slots(slots);
    request.mutable_worker()->set_free_slots(slots);
  }
  bool Report() { return stream->Write(request) && stream->Read(&response); }
  grpc::Status End() {
    stream->WritesDone();
    while (stream->Read(&response)) {
    }
    return stream->Finish();
  }
};

TEST_CASE("workers attach, are shown, and are gone with their stream") {
  ServedFixture f;
  FakeWorker worker("w1");
  {
    Attachment attached(*f.stub, "w1", worker.address());
    REQUIRE(attached.Report());
    CHECK(attached.response.coordinator() == "coordinator-under-test");
    CHECK(attached.response.interval().seconds() == 3);
    CHECK_FALSE(attached.response.draining());
    const auto status = f.Status();
    REQUIRE(status.coordinator().workers_size() == 1);
    CHECK(status.coordinator().workers(0).name() == "w1");
    CHECK(status.coordinator().workers(0).slots() == 2);
    CHECK(status.coordinator().workers(0).has_last_heartbeat_time());
    // The frontend hears of it at once.
    CHECK(f.frontend.WaitFor([](FakeJobQueue& self) {
      return !self.heard().empty() && self.heard().back().coordinator().workers_size() == 1;
    }));
    CHECK(attached.End().ok());
  }
  CHECK(f.Status().coordinator().workers_size() == 0);
}

TEST_CASE("workers that cannot work are told why") {
  ServedFixture f;
  FakeWorker worker("w1");
  struct Case {
    std::string name, address;
    uint32_t slots;
    grpc::StatusCode code;
  };
  const std::vector<Case> cases = {
      {"", worker.address(), 1, grpc::StatusCode::INVALID_ARGUMENT},
      {"w1", worker.address(), 0, grpc::StatusCode::INVALID_ARGUMENT},
      {"w1", "nonsense", 1, grpc::StatusCode::INVALID_ARGUMENT},
      // Another worker answers there.
      {"w2", worker.address(), 1, grpc::StatusCode::INVALID_ARGUMENT},
      // Nobody answers there.
      {"w1", "127.0.0.1:1", 1, grpc::StatusCode::UNAVAILABLE},
  };
  for (const Case& one : cases) {
    CAPTURE(one.name, one.address, one.slots);
    Attachment attached(*f.stub, one.name, one.address, one.slots);
    CHECK_FALSE(attached.Report());
    CHECK(attached.End().error_code() == one.code);
  }
  CHECK(f.Status().coordinator().workers_size() == 0);

  Attachment first(*f.stub, "w1", worker.address());
  REQUIRE(first.Report());
  FakeWorker twin("w1");
  Attachment second(*f.stub, "w1", twin.address());
  CHECK_FALSE(second.Report());
  CHECK(second.End().error_code() == grpc::StatusCode::ALREADY_EXISTS);
  CHECK(first.Report());
}

TEST_CASE("a worker that falls silent is gone, and its stream is ended") {
  ServedFixture f(absl::Milliseconds(300));
  FakeWorker worker("w1");
  Attachment attached(*f.stub, "w1", worker.address());
  REQUIRE(attached.Report());
  CHECK_FALSE(attached.stream->Read(&attached.response));
  CHECK(attached.stream->Finish().error_code() == grpc::StatusCode::CANCELLED);
  CHECK(f.Status().coordinator().workers_size() == 0);
}

TEST_CASE("a draining coordinator says so to its workers") {
  ServedFixture f;
  FakeWorker worker("w1");
  f.frontend.AddJob("slow", ReadPicture("moon.png"), EqualizeOperation());
  f.frontend.Change([](FakeJobQueue::Script& script) { script.hold_source = true; });
  Attachment attached(*f.stub, "w1", worker.address());
  REQUIRE(attached.Report());
  REQUIRE(f.frontend.WaitFor(
      [](FakeJobQueue& self) { return !self.record("slow").source_offsets.empty(); }));
  std::thread drain([&] { f.coordinator->Drain(absl::Seconds(60)); });
  REQUIRE(f.frontend.WaitFor([](FakeJobQueue& self) {
    return !self.heard().empty() && self.heard().back().coordinator().draining();
  }));
  CHECK(attached.Report());
  CHECK(attached.response.draining());
  Attachment late(*f.stub, "w2", worker.address());
  CHECK_FALSE(late.Report());
  CHECK(late.End().error_code() == grpc::StatusCode::UNAVAILABLE);
  f.frontend.Change([](FakeJobQueue::Script& script) { script.hold_source = false; });
  drain.join();
  // Nobody is left to report to.
  CHECK_FALSE(attached.stream->Read(&attached.response));
}

}  // namespace
}  // namespace histeq::coordinator
