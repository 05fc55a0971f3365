// Processes that are killed, and disks that are full, under a whole store: data folder, blobs,
// catalog.

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "../../conformance/store_support.h"
#include "store/data_dir.h"
#include "store/file_blob_store.h"
#include "store/sqlite_catalog.h"
#include "store/sweep.h"

namespace histeq::store::testing {
namespace {

namespace fs = std::filesystem;

// What a child tells its parent. Smaller than PIPE_BUF, so that lines of several threads stay
// whole.
struct Acknowledged {
  enum class What : int { kUpload, kLease, kComplete, kReady } what;
  char id[40];
  char image[40];
  uint64_t epoch;
};
static_assert(sizeof(Acknowledged) < 512);

// A process that runs `body` with the writing end of a pipe, until it is killed or returns.
class Child {
 public:
  explicit Child(const std::function<void(int pipe)>& body) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      close(ends[0]);
      body(ends[1]);
      _exit(0);
    }
    close(ends[1]);
    pipe_ = ends[0];
  }
  ~Child() {
    Kill();
    close(pipe_);
  }
  bool Read(Acknowledged& line) const { return read(pipe_, &line, sizeof line) == sizeof line; }
  void Kill() {
    if (pid_ < 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  // The exit status after it ended by itself.
  int Wait() {
    int status = -1;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int pipe_ = -1;
};

void Tell(int pipe, Acknowledged::What what, const std::string& id = "",
          const std::string& image = "", uint64_t epoch = 0) {
  Acknowledged line{};
  line.what = what;
  id.copy(line.id, sizeof line.id - 1);
  image.copy(line.image, sizeof line.image - 1);
  line.epoch = epoch;
  if (write(pipe, &line, sizeof line) != sizeof line) _exit(2);
}

struct Store {
  std::unique_ptr<DataDir> data_dir;
  std::unique_ptr<BlobStore> blobs;
  std::unique_ptr<Catalog> catalog;
};

absl::StatusOr<Store> OpenStore(const std::string& folder) {
  Store store;
  auto data_dir = DataDir::Open(folder);
  if (!data_dir.ok()) return data_dir.status();
  store.data_dir = *std::move(data_dir);
  FileBlobStoreOptions options;
  options.reserve_bytes = 0;
  options.sync_bytes = 50'000;
  auto blobs = OpenFileBlobStore(store.data_dir->blob_folder(), options);
  if (!blobs.ok()) return blobs.status();
  store.blobs = *std::move(blobs);
  auto catalog = OpenSqliteCatalog(store.data_dir->catalog_file(), {});
  if (!catalog.ok()) return catalog.status();
  store.catalog = *std::move(catalog);
  return store;
}

// What a frontend does under load, without an end: uploads with jobs, leases, results.
void Serve(const std::string& folder, uint32_t round, int pipe) {
  auto opened = OpenStore(folder);
  if (!opened.ok() || !SweepOrphans(*opened->catalog, *opened->blobs).ok()) _exit(3);
  Store& store = *opened;
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&store, pipe, round, t] {
      for (uint32_t i = 0;; ++i) {
        const uint32_t seed = (round * 10 + t) * 100'000 + i;
        const auto content = RandomContent(1000 + seed % 70'000, seed);
        const std::string id = "up-" + std::to_string(seed);
        const auto upload =
            store.catalog->BeginUpload(MakeHeader(id, EqualizeSpec()), store.blobs->NewKey());
        if (!upload.ok()) _exit(4);
        auto writer = store.blobs->OpenPartial(upload->blob_key, content.size());
        if (!writer.ok() || !(*writer)->Write(content).ok()) _exit(5);
        const auto blob = (*writer)->Finish({content.size(), Sha256Of(content)});
        if (!blob.ok()) _exit(6);
        const auto finished = store.catalog->FinishUpload(id, MakeFacts(*blob));
        if (!finished.ok()) _exit(7);
        Tell(pipe, Acknowledged::What::kUpload, finished->job->id, finished->image.id);
      }
    });
  }
  for (uint32_t t = 0; t < 2; ++t) {
    threads.emplace_back([&store, pipe] {
      while (true) {
        const uint64_t seen = store.catalog->WorkGeneration();
        auto lease = store.catalog->LeaseNext("c", 0);
        if (!lease.ok()) _exit(8);
        if (!lease->has_value()) {
          store.catalog->WaitForWork(seen, absl::Seconds(10));
          continue;
        }
        const JobRecord& job = (*lease)->job;
        Tell(pipe, Acknowledged::What::kLease, job.id, "", job.epoch);
        // A result is the source once more.
        std::vector<uint8_t> bytes((*lease)->image.facts.size_bytes);
        auto reader = store.blobs->OpenRead((*lease)->image.facts.location, {});
        if (!reader.ok() || reader->source->Read(bytes).value_or(0) != bytes.size()) _exit(9);
        auto writer = store.blobs->CreateBlob(bytes.size());
        if (!writer.ok() || !(*writer)->Write(bytes).ok()) _exit(10);
        const auto blob = (*writer)->Finish({bytes.size(), (*lease)->image.facts.sha256});
        if (!blob.ok()) _exit(11);
        const auto completed =
            store.catalog->Complete(job.id, job.epoch, {{MakeFacts(*blob)}, "s"});
        if (!completed.ok()) _exit(12);
        Tell(pipe, Acknowledged::What::kComplete, job.id, completed->results.at(0)->id, job.epoch);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

absl::Status CheckBytes(Store& store, const ImageRecord& image) {
  const auto bytes = ReadAll(*store.blobs, image.facts.location, {0, 0, image.facts.size_bytes});
  if (!bytes.ok()) return bytes.status();
  if (Sha256Of(*bytes) != image.facts.sha256) return absl::DataLossError("other bytes");
  return absl::OkStatus();
}

TEST_CASE("everything acknowledged before a SIGKILL under load is there afterwards") {
  TempFolder folder;
  const std::string data = folder.path() + "/data";
  std::map<std::string, std::string> uploads;  // job -> image
  std::map<std::string, std::string> results;  // job -> image
  std::map<std::string, uint64_t> epochs;
  for (uint32_t round = 0; round < 4; ++round) {
    Child child([&](int pipe) { Serve(data, round, pipe); });
    Acknowledged line;
    const auto take = [&] {
      if (line.what == Acknowledged::What::kUpload) uploads[line.id] = line.image;
      if (line.what == Acknowledged::What::kComplete) results[line.id] = line.image;
      epochs[line.id] = std::max(epochs[line.id], line.epoch);
    };
    for (uint32_t lines = 0; lines < 40 + 37 * round; ++lines) {
      REQUIRE(child.Read(line));
      take();
    }
    child.Kill();
    while (child.Read(line)) take();

    auto opened = OpenStore(data);
    REQUIRE(opened.status() == absl::OkStatus());
    Store& store = *opened;
    REQUIRE(SweepOrphans(*store.catalog, *store.blobs).ok());
    for (const auto& [job_id, image_id] : uploads) {
      const auto image = store.catalog->GetImage(image_id);
      REQUIRE(image.status() == absl::OkStatus());
      CHECK(CheckBytes(store, *image) == absl::OkStatus());
      const auto job = store.catalog->GetJob(job_id);
      REQUIRE(job.status() == absl::OkStatus());
      CHECK(job->image_id == image_id);
      CHECK(job->epoch >= epochs[job_id]);
      const auto result = results.find(job_id);
      if (result != results.end()) {
        CHECK(job->state == JobState::kSucceeded);
        CHECK(job->result_image_id == result->second);
      }
    }
    // Never one without the other; and every image's bytes are there, also of what nobody heard of.
    std::set<std::string> locations;
    std::string token;
    do {
      const auto page = store.catalog->ListImages({}, 1000, token);
      REQUIRE(page.ok());
      for (const ImageRecord& image : page->records) {
        CHECK(CheckBytes(store, image) == absl::OkStatus());
        CHECK(locations.insert(image.facts.location).second);
        const auto jobs = store.catalog->ListJobs({{}, image.id}, 10, "");
        CHECK(jobs->records.size() == (image.tag.empty() ? 1 : 0));
      }
      token = page->next_page_token;
    } while (!token.empty());
    // After the sweep nothing else is in the folder but uploads that can go on.
    REQUIRE(store.blobs
                ->ForEach([&](const BlobEntry& entry) {
                  const auto use = store.catalog->UseOfBlob(entry.key, entry.location);
                  CHECK(use.value() != Catalog::BlobUse::kNone);
                  return absl::OkStatus();
                })
                .ok());
    CHECK(results.size() <= uploads.size() + 8);
  }
  CHECK(uploads.size() > 20);
  CHECK(results.size() > 20);
}

TEST_CASE("a data folder has one process at a time, and is free once that is killed") {
  TempFolder folder;
  const std::string data = folder.path() + "/data";
  Child child([&](int pipe) {
    const auto held = DataDir::Open(data);
    if (!held.ok()) _exit(1);
    Tell(pipe, Acknowledged::What::kReady);
    while (true) pause();
  });
  Acknowledged line;
  REQUIRE(child.Read(line));
  const absl::Status refused = DataDir::Open(data).status();
  CHECK(refused.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(ReasonOf(refused) == "DATA_DIR_LOCKED");
  CHECK(DetailOf(refused, "pid") == std::to_string(child.pid()));
  child.Kill();
  auto mine = DataDir::Open(data);
  REQUIRE(mine.ok());
  CHECK(ReasonOf(DataDir::Open(data)) == "DATA_DIR_LOCKED");
  mine->reset();
  CHECK(DataDir::Open(data).ok());
  CHECK((fs::status(data).permissions() & fs::perms::others_all) == fs::perms::none);
}

TEST_CASE("a data folder that cannot be used says why") {
  TempFolder folder;
  CHECK(ReasonOf(DataDir::Open("")) == "DATA_DIR_UNUSABLE");
  CHECK(ReasonOf(DataDir::Open(folder.path() + "/no/such")) == "DATA_DIR_UNUSABLE");
  std::ofstream(folder.path() + "/file") << "x";
  CHECK(ReasonOf(DataDir::Open(folder.path() + "/file")) == "DATA_DIR_UNUSABLE");
}

TEST_CASE("blobs whose catalog is missing are not taken for orphans") {
  TempFolder folder;
  const std::string data = folder.path() + "/data";
  {
    auto store = OpenStore(data);
    REQUIRE(store.ok());
    auto writer = store->blobs->CreateBlob({});
    REQUIRE((*writer)->Write(RandomContent(10, 1)).ok());
    REQUIRE((*writer)->Finish({}).ok());
  }
  CHECK(OpenStore(data).ok());
  fs::rename(data + "/catalog.sqlite", data + "/catalog.saved");
  for (const bool empty : {false, true}) {
    if (empty) std::ofstream(data + "/catalog.sqlite").flush();
    const absl::Status status = DataDir::Open(data).status();
    CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
    CHECK(ReasonOf(status) == "CATALOG_MISSING");
  }
  fs::rename(data + "/catalog.saved", data + "/catalog.sqlite");
  CHECK(OpenStore(data).ok());
}

// The system refuses to let any file grow beyond a size, as a full disk would.
TEST_CASE("a full disk under the catalog is an error, and the catalog goes on when there is room") {
  TempFolder folder;
  const std::string data = folder.path() + "/data";
  Child child([&](int pipe) {
    signal(SIGXFSZ, SIG_IGN);
    auto opened = OpenStore(data);
    if (!opened.ok()) _exit(1);
    Catalog& catalog = *opened->catalog;
    if (!catalog.BeginUpload(MakeHeader("first"), "k").ok()) _exit(2);
    const auto image = catalog.FinishUpload("first", MakeFacts("blob:first"));
    if (!image.ok()) _exit(3);
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = 2'000'000;
    setrlimit(RLIMIT_FSIZE, &limit);
    int refused = 0;
    for (int i = 0; i < 2000; ++i) {
      JobSpec spec = EqualizeSpec("e-" + std::to_string(i));
      spec.operation = std::string(5'000, 'o');
      const auto job = catalog.CreateJob("r-" + std::to_string(i), image->image.id, spec);
      if (job.ok()) {
        Tell(pipe, Acknowledged::What::kUpload, job->id);
        continue;
      }
      if (ReasonOf(job) != "DISK_FULL") _exit(4);
      if (!catalog.GetImage(image->image.id).ok()) _exit(5);
      if (++refused == 20) break;
    }
    if (refused != 20) _exit(6);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 0; i < 50; ++i) {
      const std::string name = "s-" + std::to_string(i);
      const auto job = catalog.CreateJob(name, image->image.id, EqualizeSpec(name));
      if (!job.ok()) _exit(7);
      Tell(pipe, Acknowledged::What::kUpload, job->id);
    }
    // As if killed: nothing is closed.
    _exit(0);
  });
  std::set<std::string> acknowledged;
  Acknowledged line;
  while (child.Read(line)) acknowledged.insert(line.id);
  CHECK(child.Wait() == 0);
  CHECK(acknowledged.size() > 60);
  auto store = OpenStore(data);
  REQUIRE(store.status() == absl::OkStatus());
  std::set<std::string> found;
  std::string token;
  do {
    const auto page = store->catalog->ListJobs({}, 1000, token);
    REQUIRE(page.ok());
    for (const JobRecord& job : page->records) found.insert(job.id);
    token = page->next_page_token;
  } while (!token.empty());
  CHECK(found == acknowledged);
}

}  // namespace
}  // namespace histeq::store::testing
