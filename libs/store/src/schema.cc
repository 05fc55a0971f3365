#include "schema.h"

#include <fmt/format.h>

#include <array>

#include "base/status_macros.h"
#include "store_error.h"

namespace histeq::store {
namespace {

// "hiST": tells our files from other programs' in `file` and in our own check.
constexpr int64_t kApplicationId = 0x68695354;

// Step i leads from version i to i + 1, and each is one transaction. Steps that have been released
// are never changed: a new column is a new step at the end.
constexpr std::array kSteps = {
    R"sql(
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('page_token_key', randomblob(32));

CREATE TABLE images (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  location TEXT NOT NULL,
  sha256 BLOB NOT NULL,
  size_bytes INTEGER NOT NULL,
  format INTEGER NOT NULL,
  width INTEGER NOT NULL,
  height INTEGER NOT NULL,
  channels INTEGER NOT NULL,
  bits_per_sample INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  tag TEXT NOT NULL,
  source_image_id TEXT NOT NULL,
  source_job_id TEXT NOT NULL);
CREATE INDEX images_name ON images (name, seq);
CREATE INDEX images_location ON images (location);

CREATE TABLE image_statistics (image_id TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE uploads (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  size_bytes INTEGER,
  sha256 BLOB,
  operation BLOB,
  result_tag TEXT,
  reference_image_id TEXT,
  blob_key TEXT NOT NULL,
  image_id TEXT,
  job_id TEXT,
  touch_time INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX uploads_open_time ON uploads (touch_time) WHERE image_id IS NULL;
CREATE INDEX uploads_open_key ON uploads (blob_key) WHERE image_id IS NULL;

CREATE TABLE jobs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  request_id TEXT UNIQUE,
  image_id TEXT NOT NULL,
  image_name TEXT NOT NULL,
  operation BLOB NOT NULL,
  result_tag TEXT NOT NULL,
  reference_image_id TEXT,
  state INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  holder_deaths INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  coordinator TEXT NOT NULL,
  cancel_requested INTEGER NOT NULL,
  not_before INTEGER NOT NULL,
  result_image_id TEXT NOT NULL,
  error_code INTEGER,
  error_reason TEXT,
  error_message TEXT,
  error_metadata BLOB,
  create_time INTEGER NOT NULL,
  start_time INTEGER,
  end_time INTEGER);
CREATE INDEX jobs_state ON jobs (state, seq);
CREATE INDEX jobs_image ON jobs (image_id, seq);
CREATE INDEX jobs_reference ON jobs (reference_image_id) WHERE reference_image_id IS NOT NULL;
CREATE INDEX jobs_ready ON jobs (seq) WHERE state = 1 AND not_before = 0;
CREATE INDEX jobs_running ON jobs (coordinator) WHERE state = 2;
CREATE INDEX jobs_waiting ON jobs (not_before) WHERE state = 1 AND not_before > 0;

-- Counting a million queued jobs for every new one would take longer than queueing it.
CREATE TABLE job_counts (state INTEGER PRIMARY KEY, jobs INTEGER NOT NULL);
INSERT INTO job_counts VALUES (1, 0), (2, 0), (3, 0), (4, 0), (5, 0);
CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs BEGIN
  UPDATE job_counts SET jobs = jobs + 1 WHERE state = new.state;
END;
CREATE TRIGGER jobs_moved AFTER UPDATE OF state ON jobs WHEN old.state <> new.state BEGIN
  UPDATE job_counts SET jobs = jobs - 1 WHERE state = old.state;
  UPDATE job_counts SET jobs = jobs + 1 WHERE state = new.state;
END;
CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs BEGIN
  UPDATE job_counts SET jobs = jobs - 1 WHERE state = old.state;
END;

CREATE TABLE coordinators (name TEXT PRIMARY KEY, address TEXT NOT NULL) WITHOUT ROWID;
)sql",
    // Derivatives made once, several results of a job, expiry.
    R"sql(
-- Who asked for a job. `operation_sha256` is NULL for those of version 1, where the job has it.
CREATE TABLE requests (
  id TEXT PRIMARY KEY,
  job_id TEXT NOT NULL,
  image_id TEXT NOT NULL,
  operation_sha256 BLOB,
  taken_back INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX requests_job ON requests (job_id);
INSERT INTO requests (id, job_id, image_id)
  SELECT request_id, id, image_id FROM jobs WHERE request_id IS NOT NULL;
UPDATE jobs SET request_id = NULL WHERE request_id IS NOT NULL;

-- `outputs` and `results` are lists, see catalog_rows.cc; empty outputs with a result_tag: a job of
-- version 1. `set_key` names the source's bytes and all that is made of them.
ALTER TABLE jobs ADD COLUMN outputs BLOB NOT NULL DEFAULT x'';
ALTER TABLE jobs ADD COLUMN results BLOB NOT NULL DEFAULT x'';
ALTER TABLE jobs ADD COLUMN set_key BLOB;
ALTER TABLE jobs ADD COLUMN refresh INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE uploads ADD COLUMN outputs BLOB NOT NULL DEFAULT x'';
DROP INDEX jobs_ready;
CREATE INDEX jobs_ready ON jobs (seq) WHERE state = 1 AND not_before = 0 AND blocked = 0;
CREATE INDEX jobs_live_set ON jobs (set_key) WHERE state IN (1, 2) AND set_key IS NOT NULL;
CREATE INDEX jobs_live_image ON jobs (image_id) WHERE state IN (1, 2);

-- What is made of an image, one row for each (image, operation). `image_id` is NULL until it is
-- there; `job_id` made it, makes it, or failed.
CREATE TABLE derivatives (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  source_image_id TEXT NOT NULL,
  source_sha256 BLOB NOT NULL,
  key BLOB NOT NULL,
  operation BLOB NOT NULL,
  job_id TEXT NOT NULL,
  image_id TEXT,
  UNIQUE (source_image_id, key));
CREATE INDEX derivatives_bytes ON derivatives (source_sha256, key, image_id);
CREATE INDEX derivatives_image ON derivatives (image_id) WHERE image_id IS NOT NULL;

-- Which live job makes what of which bytes, and which jobs wait for it.
CREATE TABLE makers (
  source_sha256 BLOB NOT NULL,
  key BLOB NOT NULL,
  job_id TEXT NOT NULL,
  PRIMARY KEY (source_sha256, key)) WITHOUT ROWID;
CREATE INDEX makers_job ON makers (job_id);
CREATE TABLE waits (
  maker_id TEXT NOT NULL,
  job_id TEXT NOT NULL,
  PRIMARY KEY (maker_id, job_id)) WITHOUT ROWID;
CREATE INDEX waits_job ON waits (job_id);

-- NULL: never.
ALTER TABLE images ADD COLUMN expire_time INTEGER;
ALTER TABLE images ADD COLUMN use_time INTEGER NOT NULL DEFAULT 0;
UPDATE images SET use_time = create_time;
CREATE INDEX images_expire ON images (expire_time) WHERE expire_time IS NOT NULL;
CREATE INDEX images_use ON images (use_time) WHERE tag <> '';
CREATE INDEX images_sha256 ON images (sha256);

-- Bytes of all derivatives; records with the same location share theirs.
CREATE TABLE derived_bytes (one INTEGER PRIMARY KEY CHECK (one = 1), bytes INTEGER NOT NULL);
INSERT INTO derived_bytes SELECT 1, coalesce(sum(size_bytes), 0) FROM images WHERE tag <> '';
CREATE TRIGGER derived_inserted AFTER INSERT ON images WHEN new.tag <> '' BEGIN
  UPDATE derived_bytes SET bytes = bytes + new.size_bytes WHERE NOT EXISTS
    (SELECT 1 FROM images WHERE location = new.location AND id <> new.id);
END;
CREATE TRIGGER derived_deleted AFTER DELETE ON images WHEN old.tag <> '' BEGIN
  UPDATE derived_bytes SET bytes = bytes - old.size_bytes WHERE NOT EXISTS
    (SELECT 1 FROM images WHERE location = old.location);
END;
)sql",
    // Registered files, and those of nodes.
    R"sql(
-- modify_time: nanoseconds since 1970.
ALTER TABLE images ADD COLUMN unread INTEGER NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN modify_time INTEGER;
ALTER TABLE jobs ADD COLUMN inspects INTEGER NOT NULL DEFAULT 0;
-- Empty: the source image is the frontend's to give.
ALTER TABLE jobs ADD COLUMN storage TEXT NOT NULL DEFAULT '';
CREATE INDEX jobs_inspect ON jobs (image_id, seq) WHERE inspects = 1;
CREATE INDEX derivatives_source ON derivatives (source_image_id, seq);
DROP INDEX jobs_ready;
CREATE INDEX jobs_ready ON jobs (seq)
  WHERE state = 1 AND not_before = 0 AND blocked = 0 AND storage = '';
CREATE INDEX jobs_ready_stored ON jobs (storage, seq)
  WHERE state = 1 AND not_before = 0 AND blocked = 0 AND storage <> '';
)sql",
    // Fewer pages that change with every job.
    R"sql(
DROP TRIGGER jobs_inserted;
DROP TRIGGER jobs_moved;
DROP TRIGGER jobs_deleted;
DROP TABLE job_counts;
DROP INDEX images_sha256;
-- 1 until the job is final, then NULL: indexes that tell by it are left alone by a lease.
ALTER TABLE jobs ADD COLUMN live INTEGER;
UPDATE jobs SET live = 1 WHERE state IN (1, 2);
DROP INDEX jobs_live_set;
CREATE INDEX jobs_live_set ON jobs (set_key) WHERE live IS NOT NULL AND set_key IS NOT NULL;
DROP INDEX jobs_live_image;
CREATE INDEX jobs_live_image ON jobs (image_id) WHERE live IS NOT NULL;
)sql",
};

absl::StatusOr<int64_t> ReadPragma(Database& db, const std::string& name) {
  HISTEQ_ASSIGN_OR_RETURN(Statement statement, db.Prepare("PRAGMA " + name));
  HISTEQ_RETURN_IF_ERROR(statement.Step().status());
  return statement.Int(0);
}

}  // namespace

absl::Status MigrateSchema(Database& db, const std::string& file) {
  HISTEQ_ASSIGN_OR_RETURN(const int64_t version, ReadPragma(db, "user_version"));
  HISTEQ_ASSIGN_OR_RETURN(const int64_t application, ReadPragma(db, "application_id"));
  HISTEQ_ASSIGN_OR_RETURN(const int64_t schema_changes, ReadPragma(db, "schema_version"));
  const bool empty = version == 0 && application == 0 && schema_changes == 0;
  if (!empty && application != kApplicationId) {
    return StoreError(
        absl::StatusCode::kDataLoss, "CATALOG_DAMAGED",
        fmt::format("{} is a database of another program: give another data folder", file),
        {{"path", file}});
  }
  if (version > static_cast<int64_t>(kSteps.size())) {
    return StoreError(
        absl::StatusCode::kFailedPrecondition, "SCHEMA_TOO_NEW",
        fmt::format("catalog {} has schema version {}, this program knows versions up to {}: it "
                    "was written by a newer histeq, install that or give another data folder",
                    file, version, kSteps.size()),
        {{"path", file},
         {"limit", std::to_string(kSteps.size())},
         {"actual", std::to_string(version)}});
  }
  for (auto step = static_cast<size_t>(version); step < kSteps.size(); ++step) {
    const std::string sql = fmt::format(
        "BEGIN IMMEDIATE;{}PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT",
        kSteps[step], kApplicationId, step + 1);
    if (absl::Status status = db.Execute(sql); !status.ok()) {
      if (db.InTransaction()) db.Execute("ROLLBACK").IgnoreError();
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status CountLiveJobs(Database& db) {
  return db.Execute(R"sql(
CREATE TEMP TABLE live_jobs (state INTEGER PRIMARY KEY, jobs INTEGER NOT NULL);
INSERT INTO live_jobs SELECT 1, count(*) FROM main.jobs WHERE state = 1;
INSERT INTO live_jobs SELECT 2, count(*) FROM main.jobs WHERE state = 2;
CREATE TEMP TRIGGER live_jobs_inserted AFTER INSERT ON main.jobs BEGIN
  UPDATE live_jobs SET jobs = jobs + 1 WHERE state = new.state;
END;
CREATE TEMP TRIGGER live_jobs_moved AFTER UPDATE OF state ON main.jobs
    WHEN old.state <> new.state BEGIN
  UPDATE live_jobs SET jobs = jobs - 1 WHERE state = old.state;
  UPDATE live_jobs SET jobs = jobs + 1 WHERE state = new.state;
END;
)sql");
}

}  // namespace histeq::store
