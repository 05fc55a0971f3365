// Claims on outputs: one maker at a time, nothing made twice, nothing of others touched.

#include "store/claim_registry.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <thread>

#include "base/error.h"

namespace histeq::store {
namespace {

class TestClock final : public base::Clock {
 public:
  absl::Time Now() const override { return now; }
  absl::Duration Monotonic() const override { return now - absl::UnixEpoch(); }
  absl::Time now = absl::FromUnixSeconds(1'700'000'000);
};

struct Folder {
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "claims-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string File(const std::string& name) const { return path + "/" + name; }
  void Write(const std::string& file, const std::string& bytes) const {
    std::ofstream(file, std::ios::binary) << bytes;
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(File(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string path;
};

std::string ReasonOf(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  return detail.has_value() ? detail->reason : "";
}

Sha256Digest DigestOf(const std::string& bytes) {
  return Sha256Of({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

std::unique_ptr<ClaimRegistry> Open(const Folder& folder,
                                    const ClaimRegistry::Options& options = {}) {
  auto registry = ClaimRegistry::Open(folder.path, options);
  REQUIRE(registry.ok());
  return *std::move(registry);
}

ClaimedOutput ClaimOne(ClaimRegistry& registry, const std::string& path, const std::string& key,
                       bool anew = false) {
  const WantedOutput wanted[] = {{path, key}};
  const auto claimed = registry.Claim(wanted, anew);
  REQUIRE(claimed.ok());
  return claimed->front();
}

absl::Status FinishOne(ClaimRegistry& registry, const std::string& path, const std::string& bytes) {
  const FinishedOutput finished[] = {{path, bytes.size(), DigestOf(bytes)}};
  return registry.Finish(finished);
}

// Claims, makes and finishes one output.
void Make(const Folder& folder, ClaimRegistry& registry, const std::string& path,
          const std::string& key, const std::string& bytes) {
  const ClaimedOutput claimed = ClaimOne(registry, path, key);
  REQUIRE(claimed.standing == OutputStanding::kMine);
  folder.Write(claimed.temporary, bytes);
  REQUIRE(FinishOne(registry, path, bytes).ok());
}

ProcessIdentity GoneProcess() {
  ProcessIdentity gone = ThisProcess();
  ++gone.start_ticks;
  return gone;
}

std::set<std::string> Names(const Folder& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(".histeq.sqlite")) names.insert(name);
  }
  return names;
}

TEST_CASE("this process runs, another that had its number does not") {
  CHECK(IsRunning(ThisProcess()) == true);
  CHECK(IsRunning(GoneProcess()) == false);
  ProcessIdentity elsewhere = ThisProcess();
  elsewhere.host = "another machine";
  CHECK_FALSE(IsRunning(elsewhere).has_value());
}

TEST_CASE("of a process that stands still nothing is known, and of one that is hidden") {
  const pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  ProcessIdentity process = ThisProcess();
  process.pid = child;
  std::ifstream stat("/proc/" + std::to_string(child) + "/stat");
  for (int i = 0; i < 21; ++i) stat >> process.host;
  stat >> process.start_ticks;
  process.host = ThisProcess().host;
  CHECK(IsRunning(process) == true);
  REQUIRE(kill(child, SIGSTOP) == 0);
  int status = 0;
  REQUIRE(waitpid(child, &status, WUNTRACED) == child);
  CHECK_FALSE(IsRunning(process).has_value());
  REQUIRE(kill(child, SIGKILL) == 0);
  // Ended, and not awaited: a number that is still taken.
  siginfo_t info;
  REQUIRE(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
  CHECK(IsRunning(process) == false);
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(IsRunning(process) == false);
}

TEST_CASE("a run that lives keeps its claims, whatever the clock says") {
  const Folder folder;
  TestClock clock;
  const auto one = Open(folder, {.clock = clock});
  ClaimOne(*one, "a.jpg", "key");
  clock.now += absl::Hours(10);
  const auto two = Open(folder, {.clock = clock});
  CHECK(*two->Sweep() == 0);
  CHECK(ClaimOne(*two, "a.jpg", "key").standing == OutputStanding::kBusy);
}

TEST_CASE("an output is made once, and known afterwards") {
  const Folder folder;
  {
    const auto registry = Open(folder);
    Make(folder, *registry, "a.jpg", "key 1", "bytes");
  }
  const auto registry = Open(folder);
  CHECK(ClaimOne(*registry, "a.jpg", "key 1").standing == OutputStanding::kThere);
  const auto record = registry->Find("a.jpg");
  REQUIRE(record.ok());
  REQUIRE(record->has_value());
  CHECK((*record)->times_made == 1);
  CHECK((*record)->size_bytes == 5);
  CHECK((*record)->sha256 == DigestOf("bytes"));
  CHECK(Names(folder) == std::set<std::string>{"a.jpg"});

  // Made for something else: ours to replace.
  Make(folder, *registry, "a.jpg", "key 2", "other bytes");
  CHECK(ClaimOne(*registry, "a.jpg", "key 2").standing == OutputStanding::kThere);
  // Anew, though it is there.
  CHECK(ClaimOne(*registry, "a.jpg", "key 2", true).standing == OutputStanding::kMine);
}

TEST_CASE("one run has an output at a time") {
  const Folder folder;
  const auto one = Open(folder);
  auto two = Open(folder);
  REQUIRE(ClaimOne(*one, "a.jpg", "key").standing == OutputStanding::kMine);
  CHECK(ClaimOne(*two, "a.jpg", "key").standing == OutputStanding::kBusy);
  // Of several outputs all or none.
  const WantedOutput both[] = {{"b.jpg", "key"}, {"a.jpg", "key"}};
  const auto claimed = two->Claim(both, false);
  REQUIRE(claimed.ok());
  CHECK((*claimed)[1].standing == OutputStanding::kBusy);
  CHECK(ClaimOne(*one, "b.jpg", "key").standing == OutputStanding::kMine);

  const std::string names[] = {"a.jpg"};
  REQUIRE(one->GiveUp(names).ok());
  CHECK(ClaimOne(*two, "a.jpg", "key").standing == OutputStanding::kMine);
  two.reset();
  CHECK(ClaimOne(*one, "a.jpg", "key").standing == OutputStanding::kMine);
}

TEST_CASE("what a dead process left is removed, and its claims are free") {
  const Folder folder;
  const auto dead = Open(folder, {.process = GoneProcess()});
  const ClaimedOutput claimed = ClaimOne(*dead, "a.jpg", "key");
  folder.Write(claimed.temporary, "half");
  const auto registry = Open(folder);
  CHECK(Names(folder).empty());
  Make(folder, *registry, "a.jpg", "key", "bytes");
  // The dead one, were it alive, is told.
  CHECK(ReasonOf(FinishOne(*dead, "a.jpg", "half")) == "CLAIM_LOST");
  CHECK((*registry->Find("a.jpg"))->times_made == 1);
}

// Writes into the registry as anybody could.
void Tamper(const Folder& folder, const std::string& sql) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(folder.File(".histeq.sqlite").c_str(), &database) == SQLITE_OK);
  REQUIRE(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(database);
}

TEST_CASE("a registry that came with a folder removes nothing of others") {
  const Folder folder;
  std::filesystem::create_directory(folder.File("sub"));
  const std::string part = ".histeq-" + std::string(32, 'a') + "-7.part";
  for (const std::string& name : {std::string("victim"), std::string("sub/victim"), part}) {
    folder.Write(folder.File(name), "precious");
  }
  Folder inner;
  { const auto registry = Open(inner); }
  const auto row = [&](const std::string& path, const std::string& temporary) {
    Tamper(inner,
           "INSERT OR IGNORE INTO runs VALUES('dead', 'nowhere', 1, 1, 0);"
           "INSERT INTO outputs(path, run, temporary, new_size, new_sha256) VALUES('" +
               path + "', 'dead', '" + temporary + "', 8, x'" + ToHex(DigestOf("precious")) + "')");
  };
  inner.Write(inner.File("notes.txt"), "precious");
  inner.Write(inner.File(".histeq-" + std::string(31, 'a') + "-7.part"), "precious");
  inner.Write(inner.File(part), "half");
  row("a.jpg", folder.File("victim"));
  row("b.jpg", "notes.txt");
  row("c.jpg", ".histeq-" + std::string(31, 'a') + "-7.part");
  row("../" + std::filesystem::path(folder.path).filename().string() + "/d.jpg", part);
  row(folder.File("e.jpg"), part);
  row("sub/../../f.jpg", folder.File("sub/victim"));
  // What is ours goes: also of a folder that was moved, or of an older program.
  row("g.jpg", "/before/it/was/moved/" + part);
  const auto registry = Open(inner);
  CHECK(folder.Read("victim") == "precious");
  CHECK(folder.Read("sub/victim") == "precious");
  CHECK(folder.Read(part) == "precious");
  CHECK(Names(inner) ==
        std::set<std::string>{"notes.txt", ".histeq-" + std::string(31, 'a') + "-7.part"});
  for (const char* path : {"../a.jpg", "/a.jpg", "sub/..", ""}) {
    INFO(path);
    const WantedOutput wanted[] = {{path, "key"}};
    CHECK(ReasonOf(registry->Claim(wanted, false).status()) == "BAD_OUTPUT");
  }
}

TEST_CASE("what a dead process left in a folder that was moved since is removed") {
  const Folder folder;
  std::filesystem::create_directory(folder.File("old"));
  auto dead = ClaimRegistry::Open(folder.File("old"), {.process = GoneProcess()});
  REQUIRE(dead.ok());
  const ClaimedOutput claimed = ClaimOne(**dead, "a.jpg", "key");
  folder.Write(claimed.temporary, "half");
  std::filesystem::rename(folder.File("old"), folder.File("new"));
  const auto registry = ClaimRegistry::Open(folder.File("new"), {});
  REQUIRE(registry.ok());
  CHECK_FALSE(std::filesystem::exists(
      folder.File("new") + "/" + std::filesystem::path(claimed.temporary).filename().string()));
}

TEST_CASE("a process that died between the name and its last mark has made the output") {
  const Folder folder;
  const auto dead = Open(folder, {.process = GoneProcess()});
  ClaimOne(*dead, "a.jpg", "key");
  Tamper(folder,
         "UPDATE outputs SET new_size = 5, new_sha256 = x'" + ToHex(DigestOf("bytes")) + "'");
  SECTION("named") {
    folder.Write(folder.File("a.jpg"), "bytes");
    const auto registry = Open(folder);
    CHECK(ClaimOne(*registry, "a.jpg", "key").standing == OutputStanding::kThere);
    CHECK((*registry->Find("a.jpg"))->times_made == 1);
  }
  SECTION("not named yet") {
    const auto registry = Open(folder);
    CHECK(ClaimOne(*registry, "a.jpg", "key").standing == OutputStanding::kMine);
  }
}

TEST_CASE("an output whose last mark fails is known all the same") {
  const Folder folder;
  auto registry = Open(folder);
  const ClaimedOutput claimed = ClaimOne(*registry, "a.jpg", "key");
  folder.Write(claimed.temporary, "bytes");
  Tamper(folder,
         "CREATE TRIGGER full BEFORE UPDATE OF times_made ON outputs "
         "WHEN new.times_made > old.times_made BEGIN SELECT RAISE(ABORT, 'full'); END");
  const absl::Status finished = FinishOne(*registry, "a.jpg", "bytes");
  CHECK(ReasonOf(finished) == "REGISTRY_UNUSABLE");
  const std::string names[] = {"a.jpg"};
  SECTION("given up while it still fails, and found by a later run") {
    CHECK(ReasonOf(registry->GiveUp(names)) == "REGISTRY_UNUSABLE");
    registry.reset();
    Tamper(folder, "DROP TRIGGER full; UPDATE runs SET start_ticks = start_ticks + 1");
  }
  SECTION("given up once it can be written again") {
    Tamper(folder, "DROP TRIGGER full");
    CHECK(registry->GiveUp(names).ok());
  }
  registry = Open(folder);
  CHECK(ClaimOne(*registry, "a.jpg", "key").standing == OutputStanding::kThere);
  CHECK((*registry->Find("a.jpg"))->times_made == 1);
  CHECK(Names(folder) == std::set<std::string>{"a.jpg"});
}

TEST_CASE("the lease of another machine's run runs out, unless it is renewed") {
  const Folder folder;
  TestClock clock;
  ProcessIdentity elsewhere = ThisProcess();
  elsewhere.host = "another machine";
  const auto far = Open(folder, {.clock = clock, .lease = absl::Seconds(60), .process = elsewhere});
  ClaimOne(*far, "a.jpg", "key");
  const auto near = Open(folder, {.clock = clock});
  clock.now += absl::Seconds(50);
  REQUIRE(far->Renew().ok());
  clock.now += absl::Seconds(50);
  CHECK(*near->Sweep() == 0);
  CHECK(ClaimOne(*near, "a.jpg", "key").standing == OutputStanding::kBusy);
  clock.now += absl::Seconds(11);
  CHECK(*near->Sweep() == 1);
  CHECK(ClaimOne(*near, "a.jpg", "key").standing == OutputStanding::kMine);
  CHECK(ReasonOf(FinishOne(*far, "a.jpg", "bytes")) == "CLAIM_LOST");
}

TEST_CASE("files of others stay") {
  const Folder folder;
  const auto registry = Open(folder);
  folder.Write(folder.File("a.jpg"), "precious");
  CHECK(ClaimOne(*registry, "a.jpg", "key").standing == OutputStanding::kOccupied);
  // Also one that comes while ours is made.
  const ClaimedOutput claimed = ClaimOne(*registry, "b.jpg", "key");
  folder.Write(claimed.temporary, "bytes");
  folder.Write(folder.File("b.jpg"), "precious");
  CHECK(ReasonOf(FinishOne(*registry, "b.jpg", "bytes")) == "OUTPUT_EXISTS");
  const std::string names[] = {"b.jpg"};
  REQUIRE(registry->GiveUp(names).ok());
  CHECK(Names(folder) == std::set<std::string>{"a.jpg", "b.jpg"});
  // Even when it holds the same.
  const ClaimedOutput same = ClaimOne(*registry, "same.jpg", "key");
  folder.Write(same.temporary, "bytes");
  folder.Write(folder.File("same.jpg"), "bytes");
  CHECK(ReasonOf(FinishOne(*registry, "same.jpg", "bytes")) == "OUTPUT_EXISTS");
  const std::string same_names[] = {"same.jpg"};
  REQUIRE(registry->GiveUp(same_names).ok());
  CHECK(ClaimOne(*registry, "same.jpg", "key").standing == OutputStanding::kOccupied);
  CHECK(Names(folder) == std::set<std::string>{"a.jpg", "b.jpg", "same.jpg"});

  // One that was made here, and then changed.
  Make(folder, *registry, "c.jpg", "key", "bytes");
  folder.Write(folder.File("c.jpg"), "BYTES");
  CHECK(ClaimOne(*registry, "c.jpg", "key").standing == OutputStanding::kOccupied);
  CHECK(ClaimOne(*registry, "c.jpg", "key", true).standing == OutputStanding::kMine);
}

TEST_CASE("a copy of the folder, with other times, is as good") {
  const Folder folder;
  const auto registry = Open(folder);
  Make(folder, *registry, "a.jpg", "key", "bytes");
  const timespec times[2] = {{1000, 0}, {1000, 0}};
  REQUIRE(utimensat(AT_FDCWD, folder.File("a.jpg").c_str(), times, 0) == 0);
  CHECK(ClaimOne(*registry, "a.jpg", "key").standing == OutputStanding::kThere);
  // It is read once: what was found is trusted, as long as size and time stay.
  folder.Write(folder.File("a.jpg"), "BYTES");
  REQUIRE(utimensat(AT_FDCWD, folder.File("a.jpg").c_str(), times, 0) == 0);
  CHECK(ClaimOne(*registry, "a.jpg", "key").standing == OutputStanding::kThere);
}

TEST_CASE("a folder is the same by whatever way it is reached") {
  const Folder folder;
  std::filesystem::create_directory(folder.File("real"));
  std::filesystem::create_directory_symlink(folder.File("real"), folder.File("link"));
  auto real = ClaimRegistry::Open(folder.File("real"), {});
  auto link = ClaimRegistry::Open(folder.File("link") + "/", {});
  REQUIRE(real.ok());
  REQUIRE(link.ok());
  CHECK(ClaimOne(**link, "a.jpg", "key").standing == OutputStanding::kMine);
  CHECK(ClaimOne(**real, "a.jpg", "key").standing == OutputStanding::kBusy);
}

TEST_CASE("a file that is no registry is refused") {
  const Folder folder;
  folder.Write(folder.File(".histeq.sqlite"), std::string(5000, 'x'));
  CHECK(ReasonOf(ClaimRegistry::Open(folder.path, {}).status()) == "REGISTRY_UNUSABLE");
  CHECK(ReasonOf(ClaimRegistry::Open(folder.path + "/missing", {}).status()) ==
        "REGISTRY_UNUSABLE");
}

TEST_CASE("many runs at once make every output exactly once") {
  const Folder folder;
  constexpr int kRuns = 4;
  constexpr int kOutputs = 40;
  std::atomic<int> made = 0;
  std::vector<std::thread> runs;
  for (int run = 0; run < kRuns; ++run) {
    runs.emplace_back([&] {
      auto opened = ClaimRegistry::Open(folder.path, {});
      if (!opened.ok()) return;
      for (int i = 0; i < kOutputs; ++i) {
        const std::string name = std::to_string(i);
        const WantedOutput wanted[] = {{name, "key"}};
        const auto claimed = (*opened)->Claim(wanted, false);
        if (!claimed.ok() || claimed->front().standing != OutputStanding::kMine) continue;
        folder.Write(claimed->front().temporary, name);
        if (FinishOne(**opened, name, name).ok()) ++made;
      }
    });
  }
  for (std::thread& run : runs) run.join();
  CHECK(made == kOutputs);
  const auto registry = Open(folder);
  for (int i = 0; i < kOutputs; ++i) {
    const auto record = registry->Find(std::to_string(i));
    REQUIRE(record.ok());
    REQUIRE(record->has_value());
    CHECK((*record)->times_made == 1);
  }
}

}  // namespace
}  // namespace histeq::store
