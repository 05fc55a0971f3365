#include "store/claim_registry.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "random_id.h"
#include "sqlite_db.h"
#include "store_error.h"

namespace histeq::store {
namespace {

constexpr int kSchemaVersion = 1;

constexpr char kSchema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS runs("
    "  id TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL,"
    "  start_ticks INTEGER NOT NULL, lease_until_ms INTEGER NOT NULL) WITHOUT ROWID;"
    // `key`, `size`, `mtime_ns`, `sha256`: of the file that was made; NULL before the first time.
    // `run`: who makes it now, under the name `temporary`, to be `new_*`; NULL: nobody.
    // `may_replace`: what lies under the output's name is not anybody's to keep.
    "CREATE TABLE IF NOT EXISTS outputs("
    "  path TEXT PRIMARY KEY, key TEXT, size INTEGER, mtime_ns INTEGER, sha256 BLOB,"
    "  times_made INTEGER NOT NULL DEFAULT 0,"
    "  run TEXT, temporary TEXT, may_replace INTEGER, new_key TEXT, new_size INTEGER,"
    "  new_sha256 BLOB) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS outputs_by_run ON outputs(run) WHERE run IS NOT NULL;"
    "COMMIT;";

// The run lets go of an output.
constexpr char kRelease[] =
    "UPDATE outputs SET run = NULL, temporary = NULL, may_replace = NULL, new_key = NULL, "
    "new_size = NULL, new_sha256 = NULL WHERE path = ? AND run = ?";

// It is there under its name.
constexpr char kMark[] =
    "UPDATE outputs SET key = new_key, size = new_size, mtime_ns = ?, sha256 = new_sha256, "
    "times_made = times_made + 1, run = NULL, temporary = NULL, may_replace = NULL, "
    "new_key = NULL, new_size = NULL, new_sha256 = NULL WHERE path = ? AND run = ?";

struct FileFacts {
  int64_t size = 0;
  int64_t mtime_ns = 0;
  ino_t inode = 0;
  bool regular = false;
};

std::optional<FileFacts> FactsOf(const std::string& path) {
  struct stat file;
  if (lstat(path.c_str(), &file) != 0) return std::nullopt;
  return FileFacts{.size = file.st_size,
                   .mtime_ns = file.st_mtim.tv_sec * 1'000'000'000 + file.st_mtim.tv_nsec,
                   .inode = file.st_ino,
                   .regular = S_ISREG(file.st_mode)};
}

std::optional<std::string> DigestOfFile(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor < 0) return std::nullopt;
  Sha256 hash;
  std::array<uint8_t, 64 << 10> buffer;
  ssize_t got;
  while ((got = read(descriptor, buffer.data(), buffer.size())) > 0 || (got < 0 && errno == EINTR))
    if (got > 0) hash.Update({buffer.data(), static_cast<size_t>(got)});
  close(descriptor);
  if (got < 0) return std::nullopt;
  return ToBytes(hash.Digest());
}

absl::Status NotWritable(const std::string& path, int error) {
  return StoreError(absl::StatusCode::kFailedPrecondition, "OUTPUT_NOT_WRITABLE",
                    fmt::format("{} cannot be written: {}", path,
                                std::error_code(error, std::generic_category()).message()));
}

std::string FolderOf(const std::string& full_path) {
  return full_path.substr(0, full_path.rfind('/'));
}

// The registry may come with a folder from anywhere: nothing that it says is a path to trust.
bool IsBelowFolder(const std::string& path) {
  if (path.empty() || path.front() == '/' || path.find('\0') != std::string::npos) return false;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (path.compare(begin, end - begin, "..") == 0) return false;
    begin = end + 1;
  }
  return true;
}

std::string TemporaryName(const std::string& run, uint64_t number) {
  return fmt::format(".histeq-{}-{}.part", run, number);
}

// Whether TemporaryName can have given it.
bool IsTemporaryName(const std::string& name) {
  constexpr std::string_view kPrefix = ".histeq-";
  constexpr std::string_view kSuffix = ".part";
  constexpr size_t kRunDigits = 32;
  const std::string_view all = name;
  if (all.size() <= kPrefix.size() + kRunDigits + 1 + kSuffix.size() ||
      all.substr(0, kPrefix.size()) != kPrefix ||
      all.substr(all.size() - kSuffix.size()) != kSuffix) {
    return false;
  }
  const std::string_view run = all.substr(kPrefix.size(), kRunDigits);
  std::string_view number = all.substr(kPrefix.size() + kRunDigits);
  number.remove_suffix(kSuffix.size());
  return run.find_first_not_of("0123456789abcdef") == std::string_view::npos &&
         number.front() == '-' &&
         number.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

absl::Status Exists(const std::string& path) {
  return StoreError(absl::StatusCode::kAlreadyExists, "OUTPUT_EXISTS",
                    path + " exists already; --force replaces it");
}

}  // namespace

absl::Status GiveName(const std::string& from, const std::string& to, bool replaces) {
  if (replaces) {
    return rename(from.c_str(), to.c_str()) == 0 ? absl::OkStatus() : NotWritable(to, errno);
  }
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
    return absl::OkStatus();
  }
  if (errno == EEXIST) return Exists(to);
  // Not every file system can do that; a second name can be given on most others.
  if (link(from.c_str(), to.c_str()) != 0)
    return errno == EEXIST ? Exists(to) : NotWritable(to, errno);
  unlink(from.c_str());
  return absl::OkStatus();
}

struct ClaimRegistry::Parts {
  Parts(std::string given_folder, const Options& given)
      : options(given),
        folder(std::move(given_folder)),
        run(RandomHex128()),
        folder_descriptor(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}
  ~Parts() {
    if (folder_descriptor >= 0) close(folder_descriptor);
  }

  // A transaction that ends by itself when it is not committed. Runs take turns by a lock on the
  // folder, which wakes the next at once, where SQLite would look again after a while; where the
  // file system has no such lock, SQLite's own is enough.
  class Transaction {
   public:
    explicit Transaction(Parts& parts) : parts_(parts) {}
    ~Transaction() {
      if (parts_.database->InTransaction()) (void)parts_.database->Execute("ROLLBACK");
      if (locked_) flock(parts_.folder_descriptor, LOCK_UN);
    }
    absl::Status Begin() {
      locked_ = parts_.folder_descriptor >= 0 && flock(parts_.folder_descriptor, LOCK_EX) == 0;
      return parts_.database->Execute("BEGIN IMMEDIATE");
    }
    absl::Status Commit() { return parts_.database->Execute("COMMIT"); }

   private:
    Parts& parts_;
    bool locked_ = false;
  };

  int64_t NowMs() const { return absl::ToUnixMillis(options.clock.Now()); }

  std::string FullPath(const std::string& path) const { return folder + "/" + path; }

  // Where the temporary file of an output is, by what a row says; empty: nowhere. In the output's
  // folder as it is now, which may have been moved since; a row of an older program has a path.
  std::string TemporaryPath(const std::string& path, const std::string& recorded) const {
    const std::string name = recorded.substr(recorded.rfind('/') + 1);
    if (!IsBelowFolder(path) || !IsTemporaryName(name)) return "";
    return FolderOf(FullPath(path)) + "/" + name;
  }

  absl::Status Unusable(const absl::Status& why) const {
    if (why.ok()) return why;
    return StoreError(
        absl::StatusCode::kFailedPrecondition, "REGISTRY_UNUSABLE",
        fmt::format("{}/{}, which says what is made in this folder, cannot be used: {}", folder,
                    options.file_name, std::string(why.message())));
  }

  absl::Status Enter() {
    HISTEQ_ASSIGN_OR_RETURN(
        Statement statement,
        database->Prepare(
            "INSERT INTO runs(id, host, pid, start_ticks, lease_until_ms) "
            "VALUES(?, ?, ?, ?, ?) "
            "ON CONFLICT(id) DO UPDATE SET lease_until_ms = excluded.lease_until_ms"));
    return statement.Bind(run)
        .Bind(options.process.host)
        .Bind(options.process.pid)
        .Bind(options.process.start_ticks)
        .Bind(NowMs() + absl::ToInt64Milliseconds(options.lease))
        .Run();
  }

  absl::StatusOr<OutputStanding> Look(const WantedOutput& wanted, bool anew, bool& may_replace);
  absl::Status Settle(const std::string& id, const std::string& path);
  absl::Status EndRun(const std::string& id);
  absl::StatusOr<int> SweepLocked();

  const Options options;
  const std::string folder;
  const std::string run;
  const int folder_descriptor;
  std::mutex mutex;
  std::unique_ptr<Database> database;
  uint64_t next_temporary = 0;
};

// How one output stands, in a transaction.
absl::StatusOr<OutputStanding> ClaimRegistry::Parts::Look(const WantedOutput& wanted, bool anew,
                                                          bool& may_replace) {
  HISTEQ_ASSIGN_OR_RETURN(
      Statement row,
      database->Prepare("SELECT key, size, mtime_ns, sha256, run FROM outputs WHERE path = ?"));
  HISTEQ_ASSIGN_OR_RETURN(const bool known, row.Bind(wanted.path).Step());
  const std::string full = FullPath(wanted.path);
  const std::optional<FileFacts> file = FactsOf(full);
  may_replace = anew;
  if (known && row.OptionalBytes(4).has_value()) return OutputStanding::kBusy;
  if (!file.has_value()) return OutputStanding::kMine;
  const std::optional<int64_t> size = known ? row.OptionalInt(1) : std::nullopt;
  bool intact = file->regular && size.has_value() && *size == file->size;
  // A copy of the folder has other times.
  if (intact && row.OptionalInt(2) != file->mtime_ns) {
    const auto digest = DigestOfFile(full);
    intact = digest.has_value() && *digest == row.Bytes(3);
    if (intact) {
      // So that it is read once.
      HISTEQ_ASSIGN_OR_RETURN(Statement seen,
                              database->Prepare("UPDATE outputs SET mtime_ns = ? WHERE path = ?"));
      HISTEQ_RETURN_IF_ERROR(seen.Bind(file->mtime_ns).Bind(wanted.path).Run());
    }
  }
  if (intact) may_replace = true;
  if (intact && !anew && row.Bytes(0) == wanted.key) return OutputStanding::kThere;
  return may_replace ? OutputStanding::kMine : OutputStanding::kOccupied;
}

// In a transaction: how the claim of a run on `path` ends that was not marked. An output that has
// its name already is marked; else its temporary file goes.
absl::Status ClaimRegistry::Parts::Settle(const std::string& id, const std::string& path) {
  std::string temporary;
  std::optional<int64_t> size;
  std::string sha256;
  {
    HISTEQ_ASSIGN_OR_RETURN(Statement row,
                            database->Prepare("SELECT temporary, new_size, new_sha256 FROM outputs "
                                              "WHERE path = ? AND run = ?"));
    HISTEQ_ASSIGN_OR_RETURN(const bool known, row.Bind(path).Bind(id).Step());
    if (!known) return absl::OkStatus();
    temporary = TemporaryPath(path, row.Bytes(0));
    size = row.OptionalInt(1);
    sha256 = row.Bytes(2);
  }
  if (size.has_value() && IsBelowFolder(path)) {
    const std::string full = FullPath(path);
    const std::optional<FileFacts> file = FactsOf(full);
    // With a temporary file that is another, the one under the name is somebody else's.
    const bool named = file.has_value() && (temporary.empty() || !FactsOf(temporary).has_value() ||
                                            FactsOf(temporary)->inode == file->inode);
    if (named && file->regular && file->size == *size && DigestOfFile(full) == sha256) {
      HISTEQ_ASSIGN_OR_RETURN(Statement mark, database->Prepare(kMark));
      HISTEQ_RETURN_IF_ERROR(mark.Bind(file->mtime_ns).Bind(path).Bind(id).Run());
      if (!temporary.empty()) unlink(temporary.c_str());
      return absl::OkStatus();
    }
  }
  HISTEQ_ASSIGN_OR_RETURN(Statement release, database->Prepare(kRelease));
  HISTEQ_RETURN_IF_ERROR(release.Bind(path).Bind(id).Run());
  if (!temporary.empty()) unlink(temporary.c_str());
  return absl::OkStatus();
}

// In a transaction.
absl::Status ClaimRegistry::Parts::EndRun(const std::string& id) {
  std::vector<std::string> paths;
  {
    HISTEQ_ASSIGN_OR_RETURN(Statement row,
                            database->Prepare("SELECT path FROM outputs WHERE run = ?"));
    row.Bind(id);
    for (;;) {
      HISTEQ_ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) break;
      paths.push_back(row.Bytes(0));
    }
  }
  for (const std::string& path : paths) HISTEQ_RETURN_IF_ERROR(Settle(id, path));
  HISTEQ_ASSIGN_OR_RETURN(Statement gone, database->Prepare("DELETE FROM runs WHERE id = ?"));
  return gone.Bind(id).Run();
}

absl::StatusOr<int> ClaimRegistry::Parts::SweepLocked() {
  std::vector<std::string> dead;
  {
    HISTEQ_ASSIGN_OR_RETURN(
        Statement row,
        database->Prepare("SELECT id, host, pid, start_ticks, lease_until_ms FROM runs"));
    for (;;) {
      HISTEQ_ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) break;
      if (row.Bytes(0) == run) continue;
      const std::optional<bool> running =
          IsRunning({.host = row.Bytes(1), .pid = row.Int(2), .start_ticks = row.Int(3)});
      // A run that is known to live keeps its claims: its lease may seem to have ended because the
      // clock was set, or the machine slept.
      if (running == false || (!running.has_value() && row.Int(4) < NowMs())) {
        dead.push_back(row.Bytes(0));
      }
    }
  }
  if (dead.empty()) return 0;
  Transaction transaction(*this);
  HISTEQ_RETURN_IF_ERROR(transaction.Begin());
  for (const std::string& id : dead) HISTEQ_RETURN_IF_ERROR(EndRun(id));
  HISTEQ_RETURN_IF_ERROR(transaction.Commit());
  return static_cast<int>(dead.size());
}

absl::StatusOr<std::unique_ptr<ClaimRegistry>> ClaimRegistry::Open(const std::string& folder,
                                                                   const Options& options) {
  // SQLite follows no links, and they may be changed.
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(folder, error);
  auto parts = std::make_unique<Parts>(error ? folder : real.string(), options);
  const auto open = [&]() -> absl::Status {
    HISTEQ_ASSIGN_OR_RETURN(parts->database, Database::Open(parts->folder + "/" + options.file_name,
                                                            /*read_only=*/false));
    Database& database = *parts->database;
    // A file system without shared memory keeps the older journal, which does as well.
    (void)database.Execute("PRAGMA journal_mode = WAL");
    // What is lost with the power is made again: outputs are on the disk before they have a name.
    HISTEQ_RETURN_IF_ERROR(database.Execute("PRAGMA synchronous = NORMAL"));
    int64_t version = 0;
    {
      HISTEQ_ASSIGN_OR_RETURN(Statement row, database.Prepare("PRAGMA user_version"));
      HISTEQ_RETURN_IF_ERROR(row.Step().status());
      version = row.Int(0);
    }
    if (version > kSchemaVersion) {
      return absl::FailedPreconditionError(fmt::format(
          "version {} of histeq's format wrote it; this one knows {}", version, kSchemaVersion));
    }
    if (version < kSchemaVersion) {
      HISTEQ_RETURN_IF_ERROR(database.Execute(kSchema));
      HISTEQ_RETURN_IF_ERROR(
          database.Execute(fmt::format("PRAGMA user_version = {}", kSchemaVersion)));
    }
    HISTEQ_RETURN_IF_ERROR(parts->Enter());
    return parts->SweepLocked().status();
  };
  if (const absl::Status status = open(); !status.ok()) return parts->Unusable(status);
  return std::unique_ptr<ClaimRegistry>(new ClaimRegistry(std::move(parts)));
}

ClaimRegistry::ClaimRegistry(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

ClaimRegistry::~ClaimRegistry() {
  std::lock_guard lock(parts_->mutex);
  Parts::Transaction transaction(*parts_);
  if (transaction.Begin().ok() && parts_->EndRun(parts_->run).ok()) (void)transaction.Commit();
}

absl::StatusOr<std::vector<ClaimedOutput>> ClaimRegistry::Claim(
    std::span<const WantedOutput> wanted, bool anew) {
  Parts& parts = *parts_;
  std::lock_guard lock(parts.mutex);
  for (const WantedOutput& output : wanted) {
    if (IsBelowFolder(output.path)) continue;
    return StoreError(absl::StatusCode::kInvalidArgument, "BAD_OUTPUT",
                      fmt::format("{} is not below {}", output.path, parts.folder));
  }
  std::vector<ClaimedOutput> claimed(wanted.size());
  const auto claim = [&]() -> absl::Status {
    Parts::Transaction transaction(parts);
    HISTEQ_RETURN_IF_ERROR(transaction.Begin());
    std::vector<char> may_replace(wanted.size(), 0);
    bool any_busy = false;
    bool any_mine = false;
    for (size_t i = 0; i < wanted.size(); ++i) {
      bool replaces = false;
      HISTEQ_ASSIGN_OR_RETURN(claimed[i].standing, parts.Look(wanted[i], anew, replaces));
      may_replace[i] = replaces;
      any_busy |= claimed[i].standing == OutputStanding::kBusy;
      any_mine |= claimed[i].standing == OutputStanding::kMine;
    }
    if (any_busy || !any_mine) return transaction.Commit();
    HISTEQ_RETURN_IF_ERROR(parts.Enter());
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (claimed[i].standing != OutputStanding::kMine) continue;
      const std::string temporary = TemporaryName(parts.run, parts.next_temporary++);
      claimed[i].temporary = FolderOf(parts.FullPath(wanted[i].path)) + "/" + temporary;
      HISTEQ_ASSIGN_OR_RETURN(
          Statement statement,
          parts.database->Prepare(
              "INSERT INTO outputs(path, run, temporary, may_replace, new_key) "
              "VALUES(?, ?, ?, ?, ?) ON CONFLICT(path) DO UPDATE SET run = excluded.run, "
              "temporary = excluded.temporary, may_replace = excluded.may_replace, "
              "new_key = excluded.new_key"));
      HISTEQ_RETURN_IF_ERROR(statement.Bind(wanted[i].path)
                                 .Bind(parts.run)
                                 .Bind(temporary)
                                 .Bind(int64_t{may_replace[i]})
                                 .Bind(wanted[i].key)
                                 .Run());
    }
    return transaction.Commit();
  };
  if (const absl::Status status = claim(); !status.ok()) return parts.Unusable(status);
  return claimed;
}

absl::Status ClaimRegistry::Finish(std::span<const FinishedOutput> finished) {
  Parts& parts = *parts_;
  std::lock_guard lock(parts.mutex);
  struct Claimed {
    std::string temporary;
    bool may_replace = false;
  };
  std::vector<Claimed> claims(finished.size());
  bool lost = false;
  // First what it is to be: whoever finds it under its name after a crash can tell.
  const auto announce = [&]() -> absl::Status {
    Parts::Transaction transaction(parts);
    HISTEQ_RETURN_IF_ERROR(transaction.Begin());
    for (size_t i = 0; i < finished.size(); ++i) {
      HISTEQ_ASSIGN_OR_RETURN(
          Statement statement,
          parts.database->Prepare("UPDATE outputs SET new_size = ?, new_sha256 = ? WHERE path = ? "
                                  "AND run = ? RETURNING temporary, may_replace"));
      statement.Bind(static_cast<int64_t>(finished[i].size_bytes))
          .BindBlob(ToBytes(finished[i].sha256))
          .Bind(finished[i].path)
          .Bind(parts.run);
      HISTEQ_ASSIGN_OR_RETURN(const bool mine, statement.Step());
      if (!mine) {
        lost = true;
        return StoreError(absl::StatusCode::kAborted, "CLAIM_LOST",
                          "this command was taken for dead, and its claim on the output is gone");
      }
      claims[i] = {parts.TemporaryPath(finished[i].path, statement.Bytes(0)),
                   statement.Int(1) != 0};
    }
    return transaction.Commit();
  };
  if (const absl::Status status = announce(); !status.ok()) {
    return lost ? status : parts.Unusable(status);
  }
  absl::Status first_error;
  std::vector<const FinishedOutput*> named;
  for (size_t i = 0; i < finished.size(); ++i) {
    absl::Status status =
        GiveName(claims[i].temporary, parts.FullPath(finished[i].path), claims[i].may_replace);
    if (status.ok()) {
      named.push_back(&finished[i]);
    } else if (first_error.ok()) {
      first_error = std::move(status);
    }
  }
  const auto mark = [&]() -> absl::Status {
    Parts::Transaction transaction(parts);
    HISTEQ_RETURN_IF_ERROR(transaction.Begin());
    for (const FinishedOutput* output : named) {
      const auto file = FactsOf(parts.FullPath(output->path));
      HISTEQ_ASSIGN_OR_RETURN(Statement statement, parts.database->Prepare(kMark));
      HISTEQ_RETURN_IF_ERROR(statement.Bind(file.has_value() ? file->mtime_ns : 0)
                                 .Bind(output->path)
                                 .Bind(parts.run)
                                 .Run());
    }
    return transaction.Commit();
  };
  // What is announced stays so: GiveUp, the end of this run or a later one marks it.
  if (const absl::Status status = mark(); !status.ok()) return parts.Unusable(status);
  return first_error;
}

absl::Status ClaimRegistry::GiveUp(std::span<const std::string> paths) {
  Parts& parts = *parts_;
  std::lock_guard lock(parts.mutex);
  const auto give_up = [&]() -> absl::Status {
    Parts::Transaction transaction(parts);
    HISTEQ_RETURN_IF_ERROR(transaction.Begin());
    for (const std::string& path : paths) {
      HISTEQ_RETURN_IF_ERROR(parts.Settle(parts.run, path));
    }
    return transaction.Commit();
  };
  return parts.Unusable(give_up());
}

absl::StatusOr<std::optional<OutputRecord>> ClaimRegistry::Find(const std::string& path) {
  std::lock_guard lock(parts_->mutex);
  HISTEQ_ASSIGN_OR_RETURN(
      Statement row,
      parts_->database->Prepare("SELECT size, sha256, times_made FROM outputs WHERE path = ? AND "
                                "size IS NOT NULL"));
  HISTEQ_ASSIGN_OR_RETURN(const bool known, row.Bind(path).Step());
  if (!known) return std::nullopt;
  return OutputRecord{.size_bytes = static_cast<uint64_t>(row.Int(0)),
                      .sha256 = DigestFromBytes(row.Bytes(1)).value_or(Sha256Digest{}),
                      .times_made = static_cast<uint64_t>(row.Int(2))};
}

absl::StatusOr<bool> ClaimRegistry::KnowsBelow(const std::string& folder) {
  std::lock_guard lock(parts_->mutex);
  const auto look = [&]() -> absl::StatusOr<bool> {
    HISTEQ_ASSIGN_OR_RETURN(
        Statement row,
        parts_->database->Prepare("SELECT 1 FROM outputs WHERE path > ? AND path < ? LIMIT 1"));
    // The next character after the slash.
    const std::string end = folder.substr(0, folder.size() - 1) + static_cast<char>('/' + 1);
    return row.Bind(folder).Bind(end).Step();
  };
  const absl::StatusOr<bool> knows = look();
  if (!knows.ok()) return parts_->Unusable(knows.status());
  return knows;
}

absl::Status ClaimRegistry::Renew() {
  std::lock_guard lock(parts_->mutex);
  return parts_->Enter();
}

absl::StatusOr<int> ClaimRegistry::Sweep() {
  std::lock_guard lock(parts_->mutex);
  return parts_->SweepLocked();
}

}  // namespace histeq::store
