// What is particular to the catalog in SQLite: damage, versions, full disks, query plans.

#include "store/sqlite_catalog.h"

#include <sqlite3.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "../../conformance/store_support.h"
#include "catalog_v1.h"

namespace histeq::store::testing {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<std::unique_ptr<Catalog>> Open(const std::string& file,
                                              uint64_t max_file_bytes = 0) {
  SqliteCatalogOptions options;
  options.max_file_bytes = max_file_bytes;
  return OpenSqliteCatalog(file, options);
}

// Runs SQL on the file, as an operator with the sqlite3 program would.
void RunSql(const std::string& file, const std::string& sql) {
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(file.c_str(), &db) == SQLITE_OK);
  const int code = sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr);
  INFO(sqlite3_errmsg(db));
  CHECK(code == SQLITE_OK);
  sqlite3_close(db);
}

TEST_CASE("a catalog of a newer program is left alone") {
  TempFolder folder;
  const std::string file = folder.path() + "/catalog.sqlite";
  REQUIRE(Open(file).ok());
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(file.c_str(), &db) == SQLITE_OK);
  int64_t version = 0;
  sqlite3_exec(
      db, "PRAGMA user_version",
      [](void* to, int, char** values, char**) {
        *static_cast<int64_t*>(to) = std::atoll(values[0]);
        return 0;
      },
      &version, nullptr);
  sqlite3_close(db);
  REQUIRE(version > 1);
  RunSql(file, "PRAGMA user_version = 999");
  const absl::Status status = Open(file).status();
  CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(ReasonOf(status) == "SCHEMA_TOO_NEW");
  CHECK(DetailOf(status, "actual") == "999");
  RunSql(file, "PRAGMA user_version = " + std::to_string(version));
  CHECK(Open(file).ok());
}

TEST_CASE("a catalog of the first version is brought up to this one, jobs under way included") {
  TempFolder folder;
  const std::string file = folder.path() + "/catalog.sqlite";
  RunSql(file, kCatalogV1);
  auto opened = Open(file);
  REQUIRE(opened.status() == absl::OkStatus());
  Catalog& catalog = **opened;
  const auto done = catalog.GetJob("job-done");
  REQUIRE(done.ok());
  CHECK(done->result_image_ids == std::vector<std::string>{"img-result"});
  REQUIRE(done->spec.outputs.size() == 1);
  CHECK(done->spec.outputs[0].tag == "EQUALIZED");
  CHECK(catalog.GetImage("img-result")->name == "photo_EQUALIZED.jpg");
  // Requests keep their jobs.
  CHECK(catalog.CreateJob("r-done", "img-source", EqualizeSpec("eq"))->id == "job-done");
  CHECK(ReasonOf(catalog.CreateJob("r-running", "img-source", EqualizeSpec("eq"))) ==
        "REQUEST_ID_REUSED");
  // A lease of before goes on.
  const auto lease = catalog.GetLease("job-running", 1);
  REQUIRE(lease.ok());
  CHECK(lease->outputs == std::vector<uint32_t>{0});
  const auto completed = catalog.Complete("job-running", 1, {{MakeFacts("blob:new")}, {}});
  REQUIRE(completed.status() == absl::OkStatus());
  CHECK(completed->results.at(0)->name == "photo_EQUALIZED.jpg");
  const auto next = catalog.LeaseNext("c", 0);
  REQUIRE(next->has_value());
  CHECK((*next)->job.id == "job-queued");
  CHECK((*next)->outputs.empty());
  CHECK(catalog.Complete("job-queued", 1, {{}, "statistics"}).ok());
  // An upload of before brings its job.
  const auto finished = catalog.FinishUpload("up-open", MakeFacts("blob:key-open"));
  REQUIRE(finished.ok());
  CHECK(finished->job->spec.outputs.size() == 1);
  // What was made then is made again, and goes with its source.
  CHECK(catalog.CreateJob("r-new", "img-source", EqualizeSpec("eq"))->state == JobState::kQueued);
  CHECK(catalog.ExpireImages([](const std::string&) { return false; }, 10)->images.empty());
}

TEST_CASE("a database of another program is refused and not changed") {
  TempFolder folder;
  const std::string file = folder.path() + "/catalog.sqlite";
  RunSql(file, "CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)");
  CHECK(Open(file).status().code() == absl::StatusCode::kDataLoss);
  CHECK(ReasonOf(Open(file)) == "CATALOG_DAMAGED");
  RunSql(file, "INSERT INTO theirs VALUES (2)");
}

TEST_CASE("a damaged database is reported when it is opened") {
  TempFolder folder;
  const std::string file = folder.path() + "/catalog.sqlite";
  {
    auto catalog = Open(file);
    for (int i = 0; i < 200; ++i) AddImage(**catalog, "up-" + std::to_string(i), EqualizeSpec());
  }
  REQUIRE(fs::file_size(file) > 50'000);
  const int damage = GENERATE(0, 1, 2, 3);
  if (damage == 0) {
    std::ofstream(file, std::ios::trunc) << "this is no database, and never was one";
  } else if (damage == 1) {
    fs::resize_file(file, fs::file_size(file) / 2);
  } else {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    // The header of a page, or every page but the first.
    const std::streamoff end = damage == 2 ? 2 * 4096 + 16 : static_cast<std::streamoff>(50'000);
    stream.seekp(2 * 4096);
    for (std::streamoff at = 2 * 4096; at < end; ++at) stream.put('\x5a');
  }
  const absl::Status status = Open(file).status();
  CHECK(status.code() == absl::StatusCode::kDataLoss);
  CHECK(ReasonOf(status) == "CATALOG_DAMAGED");
}

TEST_CASE("damage found later is reported by the call that meets it") {
  TempFolder folder;
  const std::string file = folder.path() + "/catalog.sqlite";
  {
    auto catalog = Open(file);
    for (int i = 0; i < 200; ++i) AddImage(**catalog, "up-" + std::to_string(i), EqualizeSpec());
  }
  SqliteCatalogOptions options;
  options.check_when_opening = false;
  auto catalog = OpenSqliteCatalog(file, options);
  REQUIRE(catalog.ok());
  {
    // Every page but the first.
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(4096);
    for (uint64_t at = 4096; at < fs::file_size(file); ++at) stream.put('\x5a');
  }
  CHECK(ReasonOf((*catalog)->GetUpload("up-1")) == "CATALOG_DAMAGED");
  CHECK(ReasonOf((*catalog)->BeginUpload(MakeHeader("up-1"), "k")) == "CATALOG_DAMAGED");
}

TEST_CASE("a catalog that cannot be opened says why") {
  TempFolder folder;
  CHECK(ReasonOf(Open(folder.path() + "/no/such/folder/catalog.sqlite")) == "DATA_DIR_UNUSABLE");
  fs::create_directory(folder.path() + "/catalog.sqlite");
  CHECK(ReasonOf(Open(folder.path() + "/catalog.sqlite")) == "DATA_DIR_UNUSABLE");
}

TEST_CASE("links in the way to the catalog are followed, a catalog that is a link is not") {
  TempFolder folder;
  fs::create_directory(folder.path() + "/real");
  fs::create_directory_symlink(folder.path() + "/real", folder.path() + "/link");
  {
    auto catalog = Open(folder.path() + "/link/catalog.sqlite");
    REQUIRE(catalog.ok());
    AddImage(**catalog, "up");
  }
  CHECK(fs::is_regular_file(folder.path() + "/real/catalog.sqlite"));
  fs::create_symlink(folder.path() + "/real/catalog.sqlite", folder.path() + "/catalog.sqlite");
  CHECK_FALSE(Open(folder.path() + "/catalog.sqlite").ok());
}

TEST_CASE("a catalog that may not grow refuses what does not fit and goes on") {
  TempFolder folder;
  const std::string file = folder.path() + "/catalog.sqlite";
  auto catalog = Open(file, 600'000);
  REQUIRE(catalog.ok());
  std::vector<std::string> images;
  absl::Status full;
  for (int i = 0; full.ok() && i < 10'000; ++i) {
    const std::string id = "up-" + std::to_string(i);
    full = (*catalog)->BeginUpload(MakeHeader(id, EqualizeSpec()), "k").status();
    if (!full.ok()) break;
    const auto finished = (*catalog)->FinishUpload(id, MakeFacts("blob:" + id));
    full = finished.status();
    if (full.ok()) images.push_back(finished->image.id);
  }
  CHECK(full.code() == absl::StatusCode::kResourceExhausted);
  CHECK(ReasonOf(full) == "DISK_FULL");
  REQUIRE(images.size() > 100);
  CHECK((*catalog)->CountJobs()->queued == images.size());
  CHECK(DetailOf(full, "limit") == "525000");
  // What is there goes on; a result that does not fit can be tried again.
  CHECK((*catalog)->GetImage(images.front()).ok());
  const std::string statistics(300'000, 's');
  auto lease = (*catalog)->LeaseNext("c", 0);
  REQUIRE(lease.status() == absl::OkStatus());
  const JobRecord job = (*lease)->job;
  const absl::Status too_large =
      (*catalog)->Complete(job.id, 1, {{MakeFacts("blob:r")}, statistics}).status();
  CHECK(ReasonOf(too_large) == "DISK_FULL");
  // 146 pages; how many of them are used.
  CHECK(DetailOf(too_large, "limit") == "598016");
  CHECK_FALSE(DetailOf(too_large, "actual").empty());
  CHECK((*catalog)->GetJob(job.id)->state == JobState::kRunning);
  CHECK((*catalog)->GetLease(job.id, 1).ok());
  CHECK_FALSE((*catalog)->GetImageStatistics(job.image_id)->has_value());
  CHECK((*catalog)->CountJobs()->running == 1);
  CHECK((*catalog)->Complete(job.id, 1, {{MakeFacts("blob:r")}, "small"}).ok());
  // Room made in the same process is enough.
  for (size_t i = 1; i < images.size(); ++i) {
    const auto cancelled = (*catalog)->ListJobs({{}, images[i]}, 1, "");
    REQUIRE((*catalog)->CancelJob(cancelled->records.at(0).id).ok());
    REQUIRE((*catalog)->DeleteImage(images[i]).ok());
  }
  AddImage(**catalog, "after", EqualizeSpec());
  catalog->reset();
  CHECK(fs::file_size(file) <= 600'000);
  // And a larger limit, given at the next start.
  auto larger = Open(file, 4'000'000);
  REQUIRE(larger.ok());
  for (int i = 0; i < 500; ++i) AddImage(**larger, "more-" + std::to_string(i), EqualizeSpec());
}

TEST_CASE(
    "changes that share a transaction with one that does not fit fail or hold, none by half") {
  TempFolder folder;
  auto catalog = Open(folder.path() + "/catalog.sqlite", 600'000);
  REQUIRE(catalog.ok());
  const ImageRecord image = AddImage(**catalog, "up").image;
  std::mutex mutex;
  std::set<std::string> acknowledged;
  std::vector<std::thread> threads;
  std::atomic<int> refused{0};
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        JobSpec spec = EqualizeSpec("e-" + std::to_string(t) + "-" + std::to_string(i));
        if (i % 4 == 3) spec.operation = std::string(400'000, 'o');
        const auto job =
            (*catalog)->CreateJob(std::to_string(t) + "-" + std::to_string(i), image.id, spec);
        if (job.ok()) {
          const std::lock_guard lock(mutex);
          acknowledged.insert(job->id);
        } else if (ReasonOf(job) == "DISK_FULL") {
          ++refused;
        } else {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(refused > 0);
  std::set<std::string> found;
  std::string token;
  do {
    const auto page = (*catalog)->ListJobs({}, 1000, token);
    REQUIRE(page.ok());
    for (const JobRecord& job : page->records) found.insert(job.id);
    token = page->next_page_token;
  } while (!token.empty());
  CHECK(found == acknowledged);
  CHECK((*catalog)->CountJobs()->queued == acknowledged.size());
}

// ---- Plans of all statements

std::mutex g_sql_mutex;
std::set<std::string> g_sql;

int NoteStatement(unsigned, void*, void* statement, void*) {
  const char* sql = sqlite3_sql(static_cast<sqlite3_stmt*>(statement));
  const std::lock_guard lock(g_sql_mutex);
  if (sql != nullptr) g_sql.insert(sql);
  return 0;
}

int WatchConnection(sqlite3* db, char**, const sqlite3_api_routines*) {
  return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, &NoteStatement, nullptr);
}

TEST_CASE("no statement of the catalog reads a whole table, or sorts") {
  TempFolder folder;
  const std::string file = folder.path() + "/catalog.sqlite";
  const auto watch = reinterpret_cast<void (*)()>(&WatchConnection);
  { REQUIRE(Open(file).ok()); }
  REQUIRE(sqlite3_auto_extension(watch) == SQLITE_OK);
  {
    TestClock clock;
    SqliteCatalogOptions options;
    options.clock = &clock;
    options.check_when_opening = false;
    options.limits.derivative_budget_bytes = 1;
    auto opened = OpenSqliteCatalog(file, options);
    REQUIRE(opened.ok());
    Catalog& catalog = **opened;
    const FinishedUpload upload = AddImage(catalog, "up", EqualizeSpec());
    AddImage(catalog, "up", EqualizeSpec());
    const ImageRecord reference = AddImage(catalog, "ref").image;
    REQUIRE(catalog.GetUpload("up").ok());
    REQUIRE(catalog.BeginUpload(MakeHeader("open"), "k").ok());
    REQUIRE(catalog.BeginUpload(MakeHeader("open"), "k").ok());
    REQUIRE(catalog.AbandonedUploads(absl::InfiniteFuture())->size() == 1);
    REQUIRE(catalog.RemoveUpload("open", absl::InfiniteFuture()).ok());
    REQUIRE(catalog.UseOfBlob("k", "blob:k").ok());
    REQUIRE(catalog.CreateJob("r", upload.image.id, MakeSpec("m", "M", reference.id)).ok());
    REQUIRE(catalog.CreateJob("r", upload.image.id, MakeSpec("m", "M", reference.id)).ok());
    REQUIRE(catalog.LeaseNext("c", 5)->has_value());
    REQUIRE(catalog.LeaseNext("c", 5)->has_value());
    REQUIRE_FALSE(catalog.LeaseNext("c", 5)->has_value());
    REQUIRE_FALSE(catalog.DeleteImage(reference.id).ok());
    REQUIRE(catalog.GetLease(upload.job->id, 1).ok());
    REQUIRE(catalog.Fail(upload.job->id, 1, FailOutcome::kRetry, {}).ok());
    REQUIRE_FALSE(catalog.LeaseNext("c", 5)->has_value());
    clock.Advance(absl::Seconds(31));
    REQUIRE(catalog.ExpireLeases()->size() == 1);
    auto lease = catalog.LeaseNext("c", 5);
    REQUIRE(
        catalog
            .Complete((*lease)->job.id, (*lease)->job.epoch, {{MakeFacts("blob:r")}, "statistics"})
            .ok());
    REQUIRE(catalog.GetImageStatistics(upload.image.id).ok());
    for (const std::string& name : {std::string(), std::string("photo.jpg")}) {
      REQUIRE(catalog.ListImages({name}, 0, "").ok());
    }
    for (const auto& state : {std::optional<JobState>(), std::optional(JobState::kQueued)}) {
      for (const std::string& image : {std::string(), upload.image.id}) {
        REQUIRE(catalog.ListJobs({state, image}, 0, "").ok());
      }
    }
    REQUIRE(catalog.CountJobs().ok());
    const auto queued = catalog.ListJobs({JobState::kQueued, ""}, 0, "");
    REQUIRE(catalog.CancelJob(queued->records.at(0).id).ok());
    REQUIRE(catalog.DeleteImage(reference.id).ok());
    REQUIRE(catalog.RegisterCoordinator({"c", "a"}).ok());
    REQUIRE(catalog.RemoveCoordinator("c").ok());
    REQUIRE(catalog.GetJob(upload.job->id).ok());
    REQUIRE(catalog.GetImage(upload.image.id).ok());
    // Derivatives: there, waited for, joined, made anew, failed, expired.
    REQUIRE(catalog.DescribeImage(upload.image.id)->derivatives.size() == 1);
    JobSpec spec = EqualizeSpec();
    REQUIRE(catalog.CreateJob("there", upload.image.id, spec)->state == JobState::kSucceeded);
    spec.refresh = true;
    const auto anew = catalog.CreateJob("anew", upload.image.id, spec);
    REQUIRE(catalog.CreateJob("joined", upload.image.id, spec)->id == anew->id);
    spec.outputs.push_back(spec.outputs[0]);
    spec.outputs[1].operation = "more";
    REQUIRE(catalog.CreateJob("waits", upload.image.id, spec)->blocked);
    REQUIRE(catalog.TakeBackRequest(anew->id, "joined").ok());
    REQUIRE(catalog.LeaseNext("c", 5)->has_value());
    REQUIRE(catalog.Complete(anew->id, 1, {{MakeFacts("blob:anew")}, {}}).ok());
    REQUIRE(catalog.LeaseNext("c", 5)->has_value());
    const auto live = catalog.ListJobs({JobState::kRunning, ""}, 0, "");
    REQUIRE(catalog.Fail(live->records.at(0).id, 1, FailOutcome::kPermanent, {}).ok());
    // Registered: read, given to who has it, read again.
    FileRegistration registration;
    registration.image_id = "registered";
    registration.name = "r.jpg";
    registration.location = "node://x/r.jpg";
    registration.storage = "x";
    registration.inspect.operation = "inspect";
    registration.inspect.inspects = true;
    registration.job = EqualizeSpec();
    REQUIRE(catalog.RegisterImage(registration).ok());
    JobResult inspected;
    inspected.inspected = MakeFacts("registered");
    for (int i = 0; i < 2; ++i) {
      const auto inspection = catalog.LeaseNext("c", 9, {"x"});
      REQUIRE(inspection->has_value());
      REQUIRE((*inspection)->job.spec.inspects);
      REQUIRE(catalog.Complete((*inspection)->job.id, 1, inspected).ok());
      if (i == 1) break;
      const auto work = catalog.LeaseNext("c", 9, {"x"});
      REQUIRE(work->has_value());
      REQUIRE(catalog.Complete((*work)->job.id, 1, {{MakeFacts("blob:r")}, {}, {}, {}}).ok());
      registration.job.reset();
      REQUIRE(catalog.RegisterImage(registration)->inspection.has_value());
      REQUIRE(catalog.DescribeImage("registered")->inspection.has_value());
      inspected.inspected->sha256[0] ^= 1;
    }
    REQUIRE(catalog.TouchImages({upload.image.id}).ok());
    REQUIRE(catalog.ExpireImages([](const std::string&) { return true; }, 1)->images.empty());
    clock.Advance(absl::Hours(1000));
    REQUIRE(catalog.ExpireImages([](const std::string&) { return false; }, 9)->images.size() == 1);
  }
  sqlite3_cancel_auto_extension(watch);

  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(file.c_str(), &db) == SQLITE_OK);
  // Two rows in memory, that the catalog's own connection has.
  REQUIRE(sqlite3_exec(db, "CREATE TEMP TABLE live_jobs (state INTEGER PRIMARY KEY, jobs INTEGER)",
                       nullptr, nullptr, nullptr) == SQLITE_OK);
  int planned = 0;
  for (const std::string& sql : g_sql) {
    const std::string verb = sql.substr(0, sql.find(' '));
    if (verb != "SELECT" && verb != "UPDATE" && verb != "INSERT" && verb != "DELETE") continue;
    // Read once, at start.
    if (sql == "SELECT name, address FROM coordinators") continue;
    if (sql.find("INSERT INTO live_jobs SELECT") == 0) continue;
    sqlite3_stmt* statement = nullptr;
    INFO(sql);
    const std::string explain = "EXPLAIN QUERY PLAN " + sql;
    REQUIRE(sqlite3_prepare_v2(db, explain.c_str(), -1, &statement, nullptr) == SQLITE_OK);
    std::string plan;
    while (sqlite3_step(statement) == SQLITE_ROW) {
      plan += reinterpret_cast<const char*>(sqlite3_column_text(statement, 3));
      plan += "; ";
    }
    sqlite3_finalize(statement);
    INFO(plan);
    ++planned;
    if (std::getenv("HISTEQ_TEST_PRINT") != nullptr) std::cout << plan << "  <-  " << sql << "\n";
    CHECK(plan.find("TEMP B-TREE") == std::string::npos);
    // The queue is an index of ready jobs alone, read from its beginning.
    const bool queue = plan == "SCAN jobs USING INDEX jobs_ready; ";
    // Neither is the whole queue, however long.
    CHECK(plan.find("jobs_state (state=?)") == std::string::npos);
    const bool memory = plan == "SCAN live_jobs; ";
    CHECK((queue || memory || plan.find("SCAN") == std::string::npos));
  }
  sqlite3_close(db);
  CHECK(planned > 30);
}

}  // namespace
}  // namespace histeq::store::testing
