#pragma once

// SQLite with statuses in place of codes.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace histeq::store {

// A prepared statement in use: bound from 1 up, stepped, and reset when destroyed. The first error
// of a bind comes back from Step.
class Statement {
 public:
  explicit Statement(sqlite3_stmt* stmt) : stmt_(stmt) {}
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  Statement& Bind(int64_t value);
  Statement& Bind(const std::string& text);
  Statement& BindBlob(const std::string& bytes);
  Statement& BindNull();
  Statement& Bind(std::optional<int64_t> value);

  // True: a row is there. False: done.
  absl::StatusOr<bool> Step();
  // For statements without rows.
  absl::Status Run();

  int64_t Int(int column) const;
  std::optional<int64_t> OptionalInt(int column) const;
  // Text or blob.
  std::string Bytes(int column) const;
  std::optional<std::string> OptionalBytes(int column) const;

 private:
  void Keep(int code);
  sqlite3_stmt* stmt_;
  int next_ = 1;
  int bind_error_ = 0;
};

// One connection, for one thread at a time. Keeps its prepared statements.
class Database {
 public:
  // `read_only` connections see what others commit. `vfs`: SQLite's name of one; null: the default.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& file, bool read_only,
                                                        const char* vfs = nullptr);
  ~Database();

  // One or more statements without results.
  absl::Status Execute(const std::string& sql);
  // The statement of `sql`, prepared once; one user at a time.
  absl::StatusOr<Statement> Prepare(std::string_view sql);
  // Rows that the last statement changed.
  int64_t Changes() const;
  // Rows that all statements changed since it was opened, whether undone or not.
  int64_t TotalChanges() const;
  // A transaction is open.
  bool InTransaction() const;

 private:
  Database() = default;
  sqlite3* db_ = nullptr;
  // By their texts, which the hash is kept with: texts are long and begin alike.
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view sql) const { return std::hash<std::string_view>{}(sql); }
  };
  std::unordered_map<std::string, sqlite3_stmt*, Hash, std::equal_to<>> statements_;
};

// The status of a failed call.
absl::Status SqliteError(sqlite3* db, int code);

}  // namespace histeq::store
