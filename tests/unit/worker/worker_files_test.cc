// Files in a worker's storage: done there, inspected there, read from there.

#include "rpc/worker_files.h"

#include <zlib.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/cancel.h"
#include "base/error.h"
#include "engine/thread_executor.h"
#include "rpc/operation_convert.h"
#include "rpc/proto_convert.h"
#include "rpc/status.h"
#include "store/sha256.h"
#include "test_worker.h"

namespace histeq::worker {
namespace {

namespace fs = std::filesystem;
using testing::TestWorker;

std::string ReadPicture(const std::string& name) {
  std::ifstream in(std::string(getenv("HISTEQ_TEST_DATA")) + "/" + name, std::ios::binary);
  REQUIRE(in.good());
  std::ostringstream all;
  all << in.rdbuf();
  return all.str();
}

std::span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string ReasonOf(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  return detail ? detail->reason : absl::StatusCodeToString(status.code());
}

class StringSink final : public base::ByteSink {
 public:
  absl::Status Write(std::span<const uint8_t> bytes) override {
    all.append(bytes.begin(), bytes.end());
    return absl::OkStatus();
  }
  std::string all;
};

// A worker with the storage "disk", and a pool that knows it.
struct Fixture {
  fs::path folder;
  std::unique_ptr<TestWorker> worker;
  rpc::WorkerPool pool;
  std::string moon = ReadPicture("moon.png");

  Fixture() {
    std::string name = (fs::temp_directory_path() / "histeq-disk-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    folder = name;
    Write("moon.png", moon);
    WorkerOptions options;
    auto storage = store::StorageRoots::Open({"disk=" + folder.string()});
    REQUIRE(storage.ok());
    options.storage = *std::move(storage);
    worker = std::make_unique<TestWorker>(std::move(options));
    Update({"disk"});
  }
  ~Fixture() { fs::remove_all(folder); }

  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder / name, std::ios::binary) << bytes;
  }
  void Update(std::vector<std::string> storages, uint64_t memory_bytes = 256 << 20) {
    pool.Update({.name = "w",
                 .address = worker->address(),
                 .slots = 2,
                 .free_slots = 2,
                 .memory_bytes = memory_bytes,
                 .free_memory_bytes = memory_bytes,
                 .storages = std::move(storages)});
  }
  static rpc::WorkerFile File(const std::string& name) {
    return {.location = "node://disk/" + name,
            .storage = "disk",
            .size_bytes = {},
            .modify_time = {},
            .sha256 = {}};
  }
  absl::StatusOr<rpc::WorkerFiles::Processed> Process(const rpc::WorkerFile& file,
                                                      engine::Operation::Kind kind,
                                                      const codec::DecodeLimits& limits = {}) {
    engine::Operation operation;
    operation.kind = kind;
    rpc::WorkerFilesOptions options;
    options.hold_back = absl::Milliseconds(10);
    rpc::WorkerFiles files(pool, options);
    sink.all.clear();
    return files.Process(file, operation, limits, sink, {});
  }
  absl::StatusOr<engine::InspectedFile> Inspect(const std::string& name) {
    auto processed = Process(File(name), engine::Operation::Kind::kInspect);
    if (!processed.ok()) return processed.status();
    REQUIRE(processed->inspected.has_value());
    return *std::move(processed->inspected);
  }
  // The file as it was inspected.
  rpc::WorkerFile Known(const std::string& name) {
    const auto inspected = Inspect(name);
    REQUIRE(inspected.ok());
    rpc::WorkerFile file = File(name);
    file.size_bytes = inspected->size_bytes;
    file.modify_time = inspected->modify_time;
    file.sha256 = inspected->sha256;
    return file;
  }
  std::string Read(const rpc::WorkerFile& file, uint64_t offset, absl::Status& status) {
    rpc::WorkerFiles files(pool, {});
    auto source = files.Open(file, offset, {});
    status = source.status();
    std::string all;
    std::vector<uint8_t> buffer(10'000);
    while (status.ok()) {
      const auto got = (*source)->Read(buffer);
      status = got.status();
      if (!got.ok() || *got == 0) break;
      all.append(buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(*got));
    }
    return all;
  }

  StringSink sink;
};

constexpr auto kInspect = engine::Operation::Kind::kInspect;
constexpr auto kEqualize = engine::Operation::Kind::kEqualize;
constexpr auto kAnalyze = engine::Operation::Kind::kAnalyze;

TEST_CASE("a worker inspects, processes and gives its own files") {
  Fixture f;
  const auto inspected = f.Inspect("moon.png");
  REQUIRE(inspected.ok());
  CHECK(inspected->size_bytes == f.moon.size());
  CHECK(inspected->sha256 == store::ToBytes(store::Sha256Of(BytesOf(f.moon))));
  CHECK(inspected->info.width == 512);
  CHECK(inspected->modify_time.has_value());
  CHECK(f.sink.all.empty());

  const rpc::WorkerFile known = f.Known("moon.png");
  const auto processed = f.Process(known, kEqualize);
  REQUIRE(processed.ok());
  engine::InlineExecutor executor;
  const auto expected = executor.ProcessImage(BytesOf(f.moon), {}, {}, {});
  REQUIRE(expected.ok());
  CHECK((f.sink.all == std::string(expected->file.begin(), expected->file.end())));
  CHECK(processed->result.result_bytes == std::vector<uint64_t>{f.sink.all.size()});
  CHECK(f.Process(known, kAnalyze)->result.statistics.has_value());

  absl::Status status;
  CHECK((f.Read(known, 0, status) == f.moon));
  CHECK(status.ok());
  CHECK((f.Read(known, 1000, status) == f.moon.substr(1000)));
  CHECK(f.Read(known, f.moon.size(), status).empty());
  CHECK(status.ok());
  f.Read(known, f.moon.size() + 1, status);
  CHECK(ReasonOf(status) == "OFFSET_BEYOND_END");
}

TEST_CASE("files that a worker does not give") {
  Fixture f;
  f.Write("text", "no picture");
  fs::create_directory(f.folder / "folder");
  fs::create_symlink("/etc/hostname", f.folder / "out");
  const auto reason = [&](const std::string& name) {
    absl::Status status;
    CHECK(f.Read(Fixture::File(name), 0, status).empty());
    const std::string read = ReasonOf(status);
    CHECK(ReasonOf(f.Process(Fixture::File(name), kInspect).status()) == read);
    CHECK(ReasonOf(f.Process(Fixture::File(name), kEqualize).status()) == read);
    return read;
  };
  CHECK(reason("none") == "FILE_NOT_FOUND");
  CHECK(reason("folder") == "NOT_A_FILE");
  CHECK(reason("out") == "OUTSIDE_ROOTS");
  CHECK(reason("../x") == "BAD_LOCATION");
  CHECK(reason("%2e%2e/x") == "BAD_LOCATION");
  CHECK(ReasonOf(f.Inspect("text").status()) == "NOT_AN_IMAGE");
  rpc::WorkerFile local = Fixture::File("moon.png");
  local.location = "file://" + (f.folder / "moon.png").string();
  CHECK(ReasonOf(f.Process(local, kInspect).status()) == "BAD_LOCATION");
}

TEST_CASE("a worker's file that is not the one that is meant") {
  Fixture f;
  const rpc::WorkerFile known = f.Known("moon.png");
  absl::Status status;
  SECTION("another size") {
    f.Write("moon.png", f.moon + "x");
    f.Read(known, 0, status);
    CHECK(ReasonOf(status) == "SOURCE_CHANGED");
    CHECK(ReasonOf(f.Process(known, kEqualize).status()) == "SOURCE_CHANGED");
  }
  SECTION("another time") {
    fs::last_write_time(f.folder / "moon.png",
                        fs::last_write_time(f.folder / "moon.png") + std::chrono::seconds(1));
    f.Read(known, 0, status);
    CHECK(ReasonOf(status) == "SOURCE_CHANGED");
    CHECK(ReasonOf(f.Process(known, kEqualize).status()) == "SOURCE_CHANGED");
  }
  SECTION("other bytes alone") {
    const auto time = fs::last_write_time(f.folder / "moon.png");
    std::string other = f.moon;
    other.back() = static_cast<char>(other.back() ^ 1);
    f.Write("moon.png", other);
    fs::last_write_time(f.folder / "moon.png", time);
    CHECK(ReasonOf(f.Process(known, kEqualize).status()) == "SOURCE_CHANGED");
  }
  CHECK(f.sink.all.empty());
}

TEST_CASE("a storage that nobody has, and a file that is too large to be done whole") {
  Fixture f;
  const rpc::WorkerFile known = f.Known("moon.png");
  rpc::WorkerFile large = known;
  large.size_bytes = 65ull << 20;
  CHECK(ReasonOf(f.Process(large, kEqualize).status()) == "TOO_LARGE_HERE");
  // Nobody has so much memory.
  f.Update({"disk"}, 1 << 20);
  CHECK(ReasonOf(f.Process(known, kEqualize).status()) == "TOO_LARGE_HERE");
  f.Update({"other"});
  absl::Status status;
  CHECK(ReasonOf(f.Process(known, kEqualize).status()) == "STORAGE_GONE");
  f.Read(known, 0, status);
  CHECK(ReasonOf(status) == "STORAGE_GONE");
  CHECK_FALSE(f.pool.HasStorage("disk"));
  CHECK(f.pool.HasStorage("other"));
  f.Update({"disk"});
  f.pool.Remove("w");
  CHECK(ReasonOf(f.Process(known, kEqualize).status()) == "STORAGE_GONE");
  // Said to live, and not there: after some tries, for another attempt at the job.
  f.Update({"disk"});
  f.worker.reset();
  const auto unreachable = f.Process(known, kEqualize);
  CHECK(unreachable.status().code() == absl::StatusCode::kUnavailable);
  CHECK(ReasonOf(unreachable.status()) != "STORAGE_GONE");
}

TEST_CASE("a worker keeps the coordinator's limits, not its own") {
  Fixture f;
  const rpc::WorkerFile known = f.Known("moon.png");
  const auto reason = [&](const codec::DecodeLimits& limits) {
    const std::string inspected = ReasonOf(f.Process(known, kInspect, limits).status());
    CHECK(ReasonOf(f.Process(known, kEqualize, limits).status()) == inspected);
    return inspected;
  };
  CHECK(reason({.max_dimension = 511}) == "IMAGE_TOO_LARGE");
  CHECK(f.Process(known, kInspect, {.max_dimension = 512}).ok());
  // A text of 1000 bytes before the pixels.
  std::string text("\0\0\3\xe8tEXta\0", 10);
  text += std::string(998, 'x');
  uint32_t crc = static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(text.data() + 4),
                                             static_cast<uInt>(text.size() - 4)));
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(crc >> shift);
  f.Write("text.png", f.moon.substr(0, 33) + text + f.moon.substr(33));
  const rpc::WorkerFile with_text = f.Known("text.png");
  CHECK(ReasonOf(f.Process(with_text, kEqualize, {.max_metadata_bytes = 500}).status()) ==
        "METADATA_TOO_LARGE");
  rpc::WorkerFile bounded = known;
  bounded.max_bytes = f.moon.size();
  CHECK(f.Process(bounded, kInspect).ok());
  bounded.max_bytes = f.moon.size() - 1;
  CHECK(ReasonOf(f.Process(bounded, kInspect).status()) == "FILE_TOO_LARGE");
}

// Hears nothing of images until it is woken; then the real worker answers.
class HangingWorker final : private v1::Worker::Service {
 public:
  explicit HangingWorker(v1::Worker::Service& real) : real_(real) {
    rpc::ServerOptions options;
    options.services = {this};
    auto started = rpc::Server::Start(options);
    REQUIRE(started.ok());
    server_ = *std::move(started);
  }
  ~HangingWorker() override {
    Wake();
    server_.reset();
  }
  std::string address() const { return server_->local_address(); }
  void Wake() { awake_.Cancel(absl::CancelledError("awake")); }
  int asked() const { return asked_; }

 private:
  grpc::Status ProcessImage(grpc::ServerContext* context,
                            grpc::ServerReaderWriter<v1::ProcessImageResponse,
                                                     v1::ProcessImageRequest>* stream) override {
    ++asked_;
    while (!awake_.token().cancelled() && !context->IsCancelled()) {
      awake_.token().WaitFor(absl::Milliseconds(10)).IgnoreError();
    }
    return real_.ProcessImage(context, stream);
  }

  v1::Worker::Service& real_;
  std::atomic<int> asked_ = 0;
  base::CancelSource awake_;
  std::unique_ptr<rpc::Server> server_;
};

TEST_CASE("a worker that hangs does not keep those who ask for its files") {
  Fixture f;
  const rpc::WorkerFile known = f.Known("moon.png");
  HangingWorker hanging(dynamic_cast<v1::Worker::Service&>(*f.worker->worker->service()));
  f.pool.Remove("w");
  f.pool.Update({.name = "hanging",
                 .address = hanging.address(),
                 .slots = 2,
                 .free_slots = 2,
                 .memory_bytes = 256 << 20,
                 .free_memory_bytes = 256 << 20,
                 .storages = {"disk"}});
  rpc::WorkerFilesOptions options;
  options.stall_timeout = absl::Hours(1);
  options.answer_timeout = absl::Milliseconds(50);
  options.hold_back = absl::Hours(1);
  engine::Operation inspect;
  inspect.kind = kInspect;
  rpc::WorkerFiles files(f.pool, options);
  CHECK(ReasonOf(files.Process(known, inspect, {}, f.sink, {}).status()) == "STORAGE_GONE");
  CHECK(hanging.asked() == 1);
  // While it is held back nobody waits for it.
  CHECK(ReasonOf(files.Process(known, inspect, {}, f.sink, {}).status()) == "STORAGE_GONE");
  CHECK(hanging.asked() == 1);
  // Another worker that has the storage is asked all the same; and a worker that takes long after
  // it has answered is waited for.
  f.Update({"disk"});
  rpc::WorkerFilesOptions patient;
  patient.hold_back = absl::Hours(1);
  CHECK(rpc::WorkerFiles(f.pool, patient).Process(known, inspect, {}, f.sink, {}).ok());
}

TEST_CASE("a storage whose folder is away for a while is nobody's fault") {
  Fixture f;
  const rpc::WorkerFile known = f.Known("moon.png");
  const fs::path away = f.folder.string() + "-away";
  fs::rename(f.folder, away);
  CHECK(ReasonOf(f.Process(known, kInspect).status()) == "ROOT_MISSING");
  absl::Status status;
  f.Read(known, 0, status);
  CHECK(ReasonOf(status) == "ROOT_MISSING");
  fs::rename(away, f.folder);
  CHECK(f.Process(known, kInspect).ok());
}

}  // namespace
}  // namespace histeq::worker
