#include "sqlite_db.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <string>
#include <utility>

#include "base/status_macros.h"
#include "store_error.h"

namespace histeq::store {

namespace {

// Why a write to the log or the file failed; 0: not known. SQLite tells a full disk apart, but not
// a quota or a limit of the process, and forgets the errno of a failed commit.
int WriteErrno(sqlite3* db, int code) {
  int error = 0;
  if (db == nullptr || code != SQLITE_IOERR_WRITE) return error;
  sqlite3_file* log = nullptr;
  sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
  if (log != nullptr && log->pMethods != nullptr) {
    log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &error);
  }
  if (error == 0) sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &error);
  return error;
}

int64_t Pragma(sqlite3* db, const char* sql) {
  sqlite3_stmt* stmt = nullptr;
  int64_t value = 0;
  if (sqlite3_prepare_v2(db, sql, -1, &stmt, nullptr) == SQLITE_OK &&
      sqlite3_step(stmt) == SQLITE_ROW) {
    value = sqlite3_column_int64(stmt, 0);
  }
  sqlite3_finalize(stmt);
  return value;
}

// What the catalog's file has, and may have: by its own limit, and by what the disk has free.
std::map<std::string, std::string> FullFacts(sqlite3* db) {
  if (db == nullptr) return {};
  const int64_t page_bytes = Pragma(db, "PRAGMA page_size");
  const int64_t actual = Pragma(db, "PRAGMA page_count") * page_bytes;
  int64_t limit = Pragma(db, "PRAGMA max_page_count") * page_bytes;
  const char* const file = sqlite3_db_filename(db, "main");
  struct statvfs info {};
  if (file != nullptr && statvfs(file, &info) == 0) {
    limit = std::min(limit, actual + static_cast<int64_t>(info.f_bavail * info.f_frsize));
  }
  return {{"limit", std::to_string(limit)}, {"actual", std::to_string(actual)}};
}

}  // namespace

absl::Status SqliteError(sqlite3* db, int code) {
  // Also with a null `db`.
  const std::string what = db == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db);
  switch (code & 0xFF) {
    case SQLITE_FULL: {
      std::map<std::string, std::string> facts = FullFacts(db);
      return StoreError(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                        fmt::format("the catalog cannot grow beyond its {} bytes, {} are the most "
                                    "it may have or the disk has room for ({})",
                                    facts["actual"], facts["limit"], what),
                        std::move(facts));
    }
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return StoreError(
          absl::StatusCode::kDataLoss, "CATALOG_DAMAGED",
          fmt::format("the catalog's database is damaged ({}): restore it from a backup, or move "
                      "the data folder away to begin with an empty one",
                      what));
    default:
      if (const int error = WriteErrno(db, code); error == EDQUOT || error == EFBIG) {
        return IoError(error, "the catalog cannot grow");
      }
      return StoreError(absl::StatusCode::kInternal, "CATALOG_IO",
                        fmt::format("the catalog's database failed: {} (code {})", what, code),
                        {{"code", std::to_string(code)}});
  }
}

Statement::Statement(Statement&& other) noexcept
    : stmt_(std::exchange(other.stmt_, nullptr)),
      next_(other.next_),
      bind_error_(other.bind_error_) {}

Statement::~Statement() {
  if (stmt_ == nullptr) return;
  sqlite3_reset(stmt_);
  sqlite3_clear_bindings(stmt_);
}

void Statement::Keep(int code) {
  if (bind_error_ == SQLITE_OK) bind_error_ = code;
}

Statement& Statement::Bind(int64_t value) {
  Keep(sqlite3_bind_int64(stmt_, next_++, value));
  return *this;
}

Statement& Statement::Bind(const std::string& text) {
  Keep(
      sqlite3_bind_text64(stmt_, next_++, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

Statement& Statement::BindBlob(const std::string& bytes) {
  Keep(sqlite3_bind_blob64(stmt_, next_++, bytes.data(), bytes.size(), SQLITE_TRANSIENT));
  return *this;
}

Statement& Statement::BindNull() {
  Keep(sqlite3_bind_null(stmt_, next_++));
  return *this;
}

Statement& Statement::Bind(std::optional<int64_t> value) {
  return value.has_value() ? Bind(*value) : BindNull();
}

absl::StatusOr<bool> Statement::Step() {
  int code = bind_error_;
  if (code == SQLITE_OK) code = sqlite3_step(stmt_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return SqliteError(sqlite3_db_handle(stmt_), code);
}

absl::Status Statement::Run() { return Step().status(); }

int64_t Statement::Int(int column) const { return sqlite3_column_int64(stmt_, column); }

std::optional<int64_t> Statement::OptionalInt(int column) const {
  if (sqlite3_column_type(stmt_, column) == SQLITE_NULL) return std::nullopt;
  return Int(column);
}

std::string Statement::Bytes(int column) const {
  const void* data = sqlite3_column_blob(stmt_, column);
  const int size = sqlite3_column_bytes(stmt_, column);
  if (data == nullptr) return {};
  return {static_cast<const char*>(data), static_cast<size_t>(size)};
}

std::optional<std::string> Statement::OptionalBytes(int column) const {
  if (sqlite3_column_type(stmt_, column) == SQLITE_NULL) return std::nullopt;
  return Bytes(column);
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& file, bool read_only,
                                                         const char* vfs) {
  std::unique_ptr<Database> database(new Database);
  const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW |
                    (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  const int code = sqlite3_open_v2(file.c_str(), &database->db_, flags, vfs);
  if (code != SQLITE_OK) {
    const std::string what =
        database->db_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(database->db_);
    return StoreError(absl::StatusCode::kInvalidArgument, "DATA_DIR_UNUSABLE",
                      fmt::format("catalog {} cannot be opened: {}", file, what), {{"path", file}});
  }
  sqlite3_extended_result_codes(database->db_, 1);
  // Another connection's recovery or checkpoint may hold the file for a moment.
  sqlite3_busy_timeout(database->db_, 10'000);
  return database;
}

Database::~Database() {
  for (const auto& [sql, stmt] : statements_) sqlite3_finalize(stmt);
  sqlite3_close(db_);
}

absl::Status Database::Execute(const std::string& sql) {
  const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : SqliteError(db_, code);
}

absl::StatusOr<Statement> Database::Prepare(std::string_view sql) {
  const auto found = statements_.find(sql);
  if (found != statements_.end()) return Statement(found->second);
  sqlite3_stmt* stmt = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &stmt, nullptr);
  if (code != SQLITE_OK) return SqliteError(db_, code);
  statements_.emplace(sql, stmt);
  return Statement(stmt);
}

int64_t Database::Changes() const { return sqlite3_changes(db_); }

int64_t Database::TotalChanges() const { return sqlite3_total_changes64(db_); }

bool Database::InTransaction() const { return sqlite3_get_autocommit(db_) == 0; }

}  // namespace histeq::store
