// What becomes of a result's bytes when it cannot be registered.

#include "result_session.h"

#include <sqlite3.h>

#include <catch2/catch.hpp>

#include "session_harness.h"
#include "store/sweep.h"

namespace histeq::frontend {
namespace {

// From another connection.
void Execute(const std::string& file, const std::string& sql) {
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(file.c_str(), &db) == SQLITE_OK);
  CHECK(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(db);
}

TEST_CASE("a result stays while nobody knows whether the catalog has it") {
  SessionHarness harness;
  const std::string catalog_file = harness.folder.path() + "/catalog.sqlite";
  const std::vector<uint8_t> file = TestBytes("moon.png");
  {
    auto upload =
        harness.BeginUpload(store::testing::MakeHeader("up", store::testing::EqualizeSpec()));
    REQUIRE(upload.ok());
    REQUIRE((*upload)->Write(file).ok());
    REQUIRE((*upload)->Finish({}).ok());
  }
  const auto lease = harness.catalog->LeaseNext("c", 0);
  REQUIRE(lease->has_value());
  const store::JobRecord& job = (*lease)->job;
  absl::Status status;
  {
    auto opening = ResultSession::Begin(*harness.catalog, *harness.blobs, harness.clock, job.id,
                                        job.epoch, UploadLimits());
    REQUIRE(opening.ok());
    REQUIRE(opening->session->Write(file).ok());
    REQUIRE(opening->session->EndResult(file.size(), store::Sha256Of(file)).ok());
    const auto commit = [&] { return opening->session->Commit().status(); };
    SECTION("the catalog fails in the middle") {
      Execute(catalog_file, "ALTER TABLE images RENAME TO away");
      status = commit();
      Execute(catalog_file, "ALTER TABLE away RENAME TO images");
    }
    SECTION("the lease is gone") {
      REQUIRE(harness.catalog->Fail(job.id, job.epoch, store::FailOutcome::kHandBack, {}).ok());
      status = commit();
    }
  }
  if (absl::IsFailedPrecondition(status)) {
    CHECK(harness.Files().size() == 1);
  } else {
    CHECK(ReasonOf(status) == "CATALOG_IO");
    CHECK(harness.Files().size() == 2);
  }
  // The sweep asks the catalog.
  CHECK(store::SweepOrphans(*harness.catalog, *harness.blobs).ok());
  CHECK(harness.Files().size() == 1);
}

}  // namespace
}  // namespace histeq::frontend
