#pragma once

// A catalog as the first version of the program left it.

namespace histeq::store::testing {

inline constexpr char kCatalogV1[] = R"sql(
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

INSERT INTO images VALUES
  (1, 'img-source', 'photo.jpg', 'blob:source', zeroblob(32), 1000, 1, 640, 480, 3, 8, 1, '', '', ''),
  (2, 'img-result', 'photo_EQUALIZED.jpg', 'blob:result', randomblob(32), 900, 1, 640, 480, 3, 8, 2,
   'EQUALIZED', 'img-source', 'job-done');
INSERT INTO jobs VALUES
  (1, 'job-done', 'r-done', 'img-source', 'photo.jpg', CAST('eq' AS BLOB), 'EQUALIZED', NULL, 3, 1,
   0, 1, '', 0, 0, 'img-result', NULL, NULL, NULL, NULL, 1, 1, 2),
  (2, 'job-running', 'r-running', 'img-source', 'photo.jpg', CAST('other' AS BLOB), 'EQUALIZED',
   NULL, 2, 1, 0, 1, 'north', 0, 0, '', NULL, NULL, NULL, NULL, 1, 1, NULL),
  (3, 'job-queued', NULL, 'img-source', 'photo.jpg', CAST('analyze' AS BLOB), '', NULL, 1, 0, 0, 0,
   '', 0, 0, '', NULL, NULL, NULL, NULL, 1, NULL, NULL);
INSERT INTO uploads VALUES
  ('up-open', 'new.jpg', NULL, NULL, CAST('eq' AS BLOB), 'EQUALIZED', NULL, 'key-open', NULL, NULL,
   1);
PRAGMA application_id = 1751733076;
PRAGMA user_version = 1;
)sql";

}  // namespace histeq::store::testing
