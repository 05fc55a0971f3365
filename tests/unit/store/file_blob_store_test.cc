// What is particular to blobs as files: faults of the disk at every call, and what crashes leave.

#include "store/file_blob_store.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <set>

#include "../../conformance/store_support.h"

namespace histeq::store::testing {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSyncBytes = 100'000;

std::unique_ptr<BlobStore> Open(const std::string& folder,
                                std::function<int(FileCall)> fault = nullptr) {
  FileBlobStoreOptions options;
  options.sync_bytes = kSyncBytes;
  options.reserve_bytes = 0;
  options.max_packed_bytes = 0;
  options.fault = std::move(fault);
  auto store = OpenFileBlobStore(folder, options);
  REQUIRE(store.ok());
  return *std::move(store);
}

// Writes what is missing of `content`, in pieces, up to `end`.
absl::Status WriteUpTo(BlobWriter& writer, const std::vector<uint8_t>& content, size_t end) {
  while (writer.size_bytes() < end) {
    const size_t at = writer.size_bytes();
    const size_t size = std::min<size_t>(30'000, end - at);
    if (auto status = writer.Write({content.data() + at, size}); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// Sends `content` from wherever the store is to its end, as a client does.
absl::StatusOr<BlobInfo> Upload(BlobStore& store, const std::string& key,
                                const std::vector<uint8_t>& content) {
  auto writer = store.OpenPartial(key, content.size());
  if (!writer.ok()) return writer.status();
  if (!(*writer)->complete()) {
    if (auto status = WriteUpTo(**writer, content, content.size()); !status.ok()) return status;
  }
  auto blob = (*writer)->Finish({content.size(), Sha256Of(content)});
  if (blob.ok()) (*writer)->Registered();
  return blob;
}

std::set<std::string> FilesIn(const std::string& folder) {
  std::set<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.insert(entry.path().filename().string());
  }
  return files;
}

bool IsDiskError(const absl::Status& status, int error) {
  return error == EIO
             ? status.code() == absl::StatusCode::kInternal && ReasonOf(status) == "STORE_IO"
             : status.code() == absl::StatusCode::kResourceExhausted &&
                   ReasonOf(status) == "DISK_FULL";
}

// Whatever is committed of the blob is a beginning of `content`, and it can be brought to its end.
void CheckContinues(BlobStore& store, const std::string& key, const std::vector<uint8_t>& content,
                    uint64_t at_least, bool damaged = false) {
  auto committed = store.CommittedBytes(key);
  REQUIRE(committed.ok());
  CHECK(*committed >= at_least);
  // Damage is found when the last bytes are looked at.
  if (damaged) committed = at_least;
  REQUIRE(*committed <= content.size());
  {
    auto writer = store.OpenPartial(key, content.size());
    REQUIRE(writer.ok());
    CHECK((*writer)->size_bytes() == *committed);
    CHECK((*writer)->committed_bytes() == *committed);
    CHECK((*writer)->sha256() == Sha256Of({content.data(), *committed}));
  }
  const auto blob = Upload(store, key, content);
  REQUIRE(blob.ok());
  CHECK(blob->sha256 == Sha256Of(content));
  CHECK(ReadAll(store, blob->location).value() == content);
}

TEST_CASE("a fault of the disk at any call is an error, and nothing committed is lost") {
  const auto content = RandomContent(350'000, 1);
  const int error = GENERATE(ENOSPC, EIO);
  // A single fault, or a disk that stays as it is.
  const bool lasting = GENERATE(false, true);
  // The same process goes on, or another one.
  const bool reopen = GENERATE(false, true);
  TempFolder folder;
  bool armed = false;
  bool failed = false;
  int calls = 0;
  int fail_at = 0;
  const auto fault = [&](FileCall) {
    if (!armed) return 0;
    const int call = calls++;
    if (call < fail_at || (call > fail_at && !lasting)) return 0;
    failed = true;
    return error;
  };
  auto store = Open(folder.path(), fault);
  for (;; ++fail_at) {
    INFO("errno " << error << " from call " << fail_at << (lasting ? " on" : ""));
    const std::string key = store->NewKey();
    uint64_t committed = 0;
    absl::Status status;
    calls = 0;
    failed = false;
    armed = true;
    {
      auto writer = store->OpenPartial(key, content.size());
      status = writer.status();
      if (writer.ok()) {
        status = WriteUpTo(**writer, content, content.size());
        if (status.ok()) status = (*writer)->Finish({content.size(), {}}).status();
        if (!status.ok()) {
          // Nothing more is written after an error.
          CHECK_FALSE((*writer)->Finish({}).ok());
        }
        committed = (*writer)->committed_bytes();
      }
    }
    armed = false;
    if (!failed) {
      CHECK(status.ok());
      CHECK(fail_at > 10);
      break;
    }
    CHECK(IsDiskError(status, error));
    if (reopen) store = Open(folder.path(), fault);
    CheckContinues(*store, key, content, committed);
    CHECK(FilesIn(folder.path()) == std::set<std::string>{key});
    REQUIRE(store->Delete("blob:" + key).ok());
  }
}

TEST_CASE("a fault while a result is written leaves no file") {
  const auto content = RandomContent(350'000, 2);
  TempFolder folder;
  int calls = 0;
  int fail_at = -1;
  auto store = Open(folder.path(), [&](FileCall) { return calls++ == fail_at ? EIO : 0; });
  while (true) {
    calls = 0;
    ++fail_at;
    INFO("call " << fail_at);
    absl::Status status;
    {
      auto writer = store->CreateBlob(content.size());
      status = writer.status();
      if (writer.ok()) status = WriteUpTo(**writer, content, content.size());
      if (writer.ok() && status.ok()) status = (*writer)->Finish({}).status();
    }
    if (calls <= fail_at) {
      CHECK(status.ok());
      CHECK(FilesIn(folder.path()).size() == 1);
      break;
    }
    CHECK(IsDiskError(status, EIO));
    CHECK(FilesIn(folder.path()).empty());
  }
}

TEST_CASE("an interrupted write is written on") {
  TempFolder folder;
  int writes = 0;
  auto store = Open(folder.path() + "/blobs", [&](FileCall call) {
    return call == FileCall::kWrite && ++writes % 2 == 1 ? EINTR : 0;
  });
  const auto content = RandomContent(150'000, 3);
  const auto blob = Upload(*store, store->NewKey(), content);
  REQUIRE(blob.ok());
  CHECK(writes > 2);
  CHECK(ReadAll(*store, blob->location).value() == content);
}

TEST_CASE("a crash before any call to the disk leaves what was committed") {
  const auto content = RandomContent(350'000, 4);
  TempFolder folder;
  // Copies of the blob's folder, and what the writer had said to be committed.
  std::vector<uint64_t> copies;
  std::optional<uint64_t> committed;
  const std::string key = std::string(32, 'c');
  const std::string place = folder.path() + "/blobs/cc";
  const auto copy_name = [&](size_t i) { return folder.path() + "/copy" + std::to_string(i); };
  auto store = Open(folder.path() + "/blobs", [&](FileCall) {
    if (!committed.has_value()) return 0;
    fs::copy(place, copy_name(copies.size()));
    copies.push_back(*committed);
    return 0;
  });
  committed = 0;
  {
    auto writer = store->OpenPartial(key, content.size());
    REQUIRE(writer.ok());
    while ((*writer)->size_bytes() < content.size()) {
      const size_t at = (*writer)->size_bytes();
      REQUIRE((*writer)
                  ->Write({content.data() + at, std::min<size_t>(70'000, content.size() - at)})
                  .ok());
      committed = (*writer)->committed_bytes();
    }
    REQUIRE((*writer)->Finish({}).ok());
  }
  committed.reset();
  REQUIRE(copies.size() > 10);
  for (size_t i = 0; i < copies.size(); ++i) {
    INFO("copy " << i);
    fs::remove_all(place);
    fs::rename(copy_name(i), place);
    store = Open(folder.path() + "/blobs");
    CheckContinues(*store, key, content, copies[i]);
    CHECK(FilesIn(place) == std::set<std::string>{key});
  }
}

// What a power cut makes of a partial blob: bytes that were not synced are other bytes, or missing.
TEST_CASE("after a power cut only what is as it was written counts") {
  const auto content = RandomContent(350'000, 5);
  TempFolder folder;
  const std::string blobs = folder.path() + "/blobs";
  std::string key;
  std::vector<uint64_t> ends;
  {
    auto store = Open(blobs);
    key = store->NewKey();
    auto writer = store->OpenPartial(key, {});
    for (const size_t end : {1, 50'000, 50'001, 149'000, 240'000}) {
      REQUIRE(WriteUpTo(**writer, content, end).ok());
      REQUIRE((*writer)->Sync().ok());
      ends.push_back(end);
    }
  }
  const std::string file = blobs + "/" + key.substr(0, 2) + "/" + key;
  const auto flip = [](const std::string& path, uint64_t offset) {
    std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(offset));
    const int byte = stream.get();
    stream.seekp(static_cast<std::streamoff>(offset));
    stream.put(static_cast<char>(byte ^ 1));
  };
  struct Damage {
    std::string name;
    std::function<void()> make;
    uint64_t committed;
    // Said before the bytes are looked at, where that is more.
    uint64_t said = 0;
  };
  const std::vector<Damage> damages = {
      {"nothing", [] {}, 240'000},
      {"bytes beyond the last section",
       [&] {
         std::ofstream(file + ".partial", std::ios::app | std::ios::binary) << "half a chunk";
       },
       240'000},
      {"the last byte differs", [&] { flip(file + ".partial", 239'999); }, 149'000, 240'000},
      {"the last two sections differ",
       [&] {
         flip(file + ".partial", 149'000);
         flip(file + ".partial", 100'000);
       },
       50'001, 240'000},
      {"the file is shorter", [&] { fs::resize_file(file + ".partial", 149'001); }, 149'000},
      {"the file is empty", [&] { fs::resize_file(file + ".partial", 0); }, 0},
      {"half a section record", [&] { fs::resize_file(file + ".sections", 4 * 48 + 7); }, 149'000},
      {"a section record differs", [&] { flip(file + ".sections", 2 * 48 + 3); }, 50'000},
      {"a section's hash differs", [&] { flip(file + ".sections", 4 * 48 + 20); }, 149'000},
      {"no sections", [&] { fs::remove(file + ".sections"); }, 0},
      {"zeros after the sections", [&] { fs::resize_file(file + ".sections", 5 * 48 + 4096); },
       240'000},
      {"no partial file", [&] { fs::remove(file + ".partial"); }, 0},
  };
  const auto damage = damages[GENERATE(range(size_t{0}, size_t{12}))];
  INFO(damage.name);
  damage.make();
  auto store = Open(blobs);
  CHECK(store->CommittedBytes(key).value() == std::max(damage.committed, damage.said));
  CheckContinues(*store, key, content, damage.committed, damage.said > 0);
  CHECK(FilesIn(blobs) == std::set<std::string>{key});
}

// Minutes for tens of gigabytes: no call of a client lasts so long.
TEST_CASE("a partial or complete blob is continued without being read from its beginning") {
  const auto content = RandomContent(350'077, 9);
  const size_t size = GENERATE(300'032, 300'000, 350'077);
  TempFolder folder;
  const std::string blobs = folder.path() + "/blobs";
  const std::string key(32, 'b');
  const bool finish = size == content.size();
  {
    auto store = Open(blobs);
    auto writer = store->OpenPartial(key, {});
    REQUIRE(WriteUpTo(**writer, content, 200'000).ok());
    REQUIRE((*writer)->Sync().ok());
    REQUIRE(WriteUpTo(**writer, content, size).ok());
    // Not registered: the queue was full, or the process ended.
    if (finish) {
      REQUIRE((*writer)->Finish({}).ok());
    }
  }
  // What is not read cannot be missed.
  {
    std::fstream stream(blobs + "/bb/" + key + (finish ? "" : ".partial"),
                        std::ios::in | std::ios::out | std::ios::binary);
    stream.write(std::string(200'000, '\0').data(), 200'000);
  }
  auto store = Open(blobs);
  CHECK(store->CommittedBytes(key).value() == size);
  auto writer = store->OpenPartial(key, content.size());
  REQUIRE(writer.ok());
  CHECK((*writer)->complete() == finish);
  CHECK((*writer)->size_bytes() == size);
  CHECK((*writer)->sha256() == Sha256Of({content.data(), size}));
  if (!finish) {
    REQUIRE(WriteUpTo(**writer, content, content.size()).ok());
  }
  const auto blob = (*writer)->Finish({content.size(), Sha256Of(content)});
  CHECK(blob.ok());
  (*writer)->Registered();
  CHECK(FilesIn(blobs) == std::set<std::string>{key});
}

TEST_CASE("a hash goes on from its chain at every block") {
  const auto content = RandomContent(1000, 10);
  for (size_t at = 0; at <= content.size(); ++at) {
    Sha256 first;
    first.Update({content.data(), at});
    const size_t blocks = at - at % Sha256::kBlockBytes;
    Sha256 second;
    second.Update({content.data(), 10});
    second.Resume(first.Chain(), blocks);
    second.Update({content.data() + blocks, content.size() - blocks});
    REQUIRE(second.Digest() == Sha256Of(content));
  }
}

TEST_CASE("the sweep finds also what is left of a blob between two steps") {
  TempFolder folder;
  const std::string blobs = folder.path() + "/blobs";
  auto store = Open(blobs);
  const std::string finished = "ab" + std::string(30, '1');
  const std::string lone = "ab" + std::string(30, '2');
  REQUIRE(Upload(*store, finished, RandomContent(1000, 6)).ok());
  const auto touch = [&](const std::string& name) { std::ofstream(blobs + "/ab/" + name) << "x"; };
  touch(finished + ".sections");
  touch(lone + ".sections");
  touch("somebody's notes");
  touch(std::string(32, 'z'));
  // Those of a finished blob stay for a day, in which it may be opened again.
  const std::string recent = "ab" + std::string(30, '3');
  REQUIRE(Upload(*store, recent, RandomContent(1000, 6)).ok());
  touch(recent + ".sections");
  fs::last_write_time(blobs + "/ab/" + finished + ".sections",
                      fs::file_time_type::clock::now() - std::chrono::hours(25));
  std::set<std::pair<std::string, bool>> seen;
  REQUIRE(store
              ->ForEach([&](const BlobEntry& entry) {
                seen.emplace(entry.key, entry.partial);
                return absl::OkStatus();
              })
              .ok());
  CHECK(seen ==
        std::set<std::pair<std::string, bool>>{{finished, false}, {lone, true}, {recent, false}});
  REQUIRE(store->DeleteKey(lone, [] { return absl::OkStatus(); }).ok());
  CHECK(FilesIn(blobs) == std::set<std::string>{finished, recent, recent + ".sections",
                                                "somebody's notes", std::string(32, 'z')});
}

TEST_CASE("the reserve of free space is kept") {
  TempFolder folder;
  FileBlobStoreOptions options;
  options.reserve_bytes = uint64_t{1} << 62;
  auto store = OpenFileBlobStore(folder.path() + "/blobs", options);
  REQUIRE(store.ok());
  CHECK(ReasonOf((*store)->CheckSpace(0)) == "DISK_FULL");
  CHECK(DetailOf((*store)->CheckSpace(0), "reserve") == std::to_string(uint64_t{1} << 62));
  CHECK(ReasonOf((*store)->CreateBlob({})) == "DISK_FULL");
  CHECK(FilesIn(folder.path()).empty());
}

TEST_CASE("what is announced is kept free for its writer") {
  TempFolder folder;
  auto store = Open(folder.path() + "/blobs");
  const uint64_t most = fs::space(folder.path()).available / 10 * 6;
  const auto content = RandomContent(50'000, 8);
  auto first = store->OpenPartial(store->NewKey(), most);
  REQUIRE(first.ok());
  const absl::Status refused = store->OpenPartial(store->NewKey(), most).status();
  CHECK(ReasonOf(refused) == "DISK_FULL");
  CHECK(DetailOf(refused, "promised") == std::to_string(most));
  CHECK(ReasonOf(store->CheckSpace(most)) == "DISK_FULL");
  // What is written is no longer awaited; small ones still find room.
  REQUIRE((*first)->Write(content).ok());
  CHECK(DetailOf(store->CheckSpace(most), "promised") == std::to_string(most - content.size()));
  auto second = store->CreateBlob({});
  REQUIRE(second.ok());
  CHECK((*second)->Write(content).ok());
  CHECK((*second)->Finish({}).ok());
  REQUIRE((*first)->Discard().ok());
  CHECK(store->OpenPartial(store->NewKey(), most).ok());
}

TEST_CASE("what a slow sender sends is synced by time") {
  TempFolder folder;
  TestClock clock;
  FileBlobStoreOptions options;
  options.reserve_bytes = 0;
  options.sync_interval = absl::Seconds(2);
  options.clock = &clock;
  auto store = OpenFileBlobStore(folder.path() + "/blobs", options);
  REQUIRE(store.ok());
  const auto content = RandomContent(1000, 3);
  auto partial = (*store)->OpenPartial((*store)->NewKey(), {});
  REQUIRE(partial.ok());
  REQUIRE((*partial)->Write({content.data(), 100}).ok());
  CHECK((*partial)->committed_bytes() == 0);
  clock.Advance(absl::Milliseconds(1900));
  REQUIRE((*partial)->Write({content.data() + 100, 100}).ok());
  CHECK((*partial)->committed_bytes() == 0);
  clock.Advance(absl::Milliseconds(100));
  REQUIRE((*partial)->Write({content.data() + 200, 100}).ok());
  CHECK((*partial)->committed_bytes() == 300);
  // From that sync on.
  clock.Advance(absl::Milliseconds(1900));
  REQUIRE((*partial)->Write({content.data() + 300, 100}).ok());
  CHECK((*partial)->committed_bytes() == 300);

  // Nobody continues this one.
  auto alone = (*store)->CreateBlob({});
  REQUIRE(alone.ok());
  clock.Advance(absl::Seconds(10));
  REQUIRE((*alone)->Write({content.data(), 100}).ok());
  CHECK((*alone)->committed_bytes() == 0);
}

TEST_CASE("a disk that fills up while a blob is written says what is free and what was wanted") {
  TempFolder folder;
  const int error = GENERATE(ENOSPC, EDQUOT);
  FileBlobStoreOptions options;
  options.reserve_bytes = 0;
  options.max_packed_bytes = 0;
  options.fault = [&](FileCall call) { return call == FileCall::kWrite ? error : 0; };
  auto store = OpenFileBlobStore(folder.path() + "/blobs", options);
  REQUIRE(store.ok());
  auto writer = (*store)->CreateBlob({});
  REQUIRE(writer.ok());
  const auto content = RandomContent(1000, 3);
  const absl::Status status = (*writer)->Write(content);
  REQUIRE(ReasonOf(status) == "DISK_FULL");
  CHECK(DetailOf(status, "actual") == "1000");
  // What the disk has is not what a quota leaves.
  CHECK(DetailOf(status, "limit").empty() == (error == EDQUOT));
}

TEST_CASE("a link in place of a blob is not followed") {
  TempFolder folder;
  auto store = Open(folder.path() + "/blobs");
  std::ofstream(folder.path() + "/secret") << "secret";
  const std::string key = store->NewKey();
  const std::string place = folder.path() + "/blobs/" + key.substr(0, 2) + "/" + key;
  fs::create_symlink(folder.path() + "/secret", place);
  CHECK_FALSE(store->OpenRead("blob:" + key, {}).ok());
  fs::rename(place, place + ".partial");
  CHECK_FALSE(store->OpenPartial(key, {}).ok());
  CHECK(fs::file_size(folder.path() + "/secret") == 6);
}

TEST_CASE("a store that cannot be made says why") {
  TempFolder folder;
  std::ofstream(folder.path() + "/file") << "x";
  CHECK(ReasonOf(OpenFileBlobStore(folder.path() + "/file", {})) == "STORE_IO");
  CHECK(ReasonOf(OpenFileBlobStore(folder.path() + "/no/such/folder", {})) == "STORE_IO");
}

TEST_CASE("bytes that were committed survive a SIGKILL in the middle of an upload") {
  const auto content = RandomContent(2'000'000, 7);
  TempFolder folder;
  const std::string blobs = folder.path() + "/blobs";
  const std::string key(32, 'a');
  uint64_t committed = 0;
  // Each child sends on, and is killed at another moment.
  for (int round = 0; round < 5 && committed < content.size(); ++round) {
    int pipe_ends[2];
    REQUIRE(pipe(pipe_ends) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      FileBlobStoreOptions options;
      options.sync_bytes = 20'000;
      options.max_packed_bytes = 0;
      auto store = OpenFileBlobStore(blobs, options);
      auto writer = (*store)->OpenPartial(key, {});
      if (!writer.ok()) _exit(1);
      uint64_t reported = 0;
      while ((*writer)->size_bytes() < content.size()) {
        const size_t at = (*writer)->size_bytes();
        const size_t size = std::min<size_t>(7'000, content.size() - at);
        if (!(*writer)->Write({content.data() + at, size}).ok()) _exit(1);
        const uint64_t now = (*writer)->committed_bytes();
        if (now > reported && write(pipe_ends[1], &now, sizeof now) != sizeof now) _exit(1);
        reported = now;
      }
      pause();
      _exit(0);
    }
    close(pipe_ends[1]);
    for (int reports = 0; reports < 5 + 3 * round; ++reports) {
      if (read(pipe_ends[0], &committed, sizeof committed) != sizeof committed) break;
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (read(pipe_ends[0], &committed, sizeof committed) == sizeof committed) {
    }
    close(pipe_ends[0]);
    auto store = Open(blobs);
    const uint64_t found = store->CommittedBytes(key).value();
    CHECK(found >= committed);
    auto writer = store->OpenPartial(key, {});
    REQUIRE(writer.ok());
    CHECK((*writer)->sha256() == Sha256Of({content.data(), found}));
  }
  auto store = Open(blobs);
  CheckContinues(*store, key, content, committed);
  CHECK(FilesIn(blobs) == std::set<std::string>{key});
}

}  // namespace
}  // namespace histeq::store::testing
