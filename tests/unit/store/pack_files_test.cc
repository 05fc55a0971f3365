// What is particular to small blobs in pack files: shared syncs, holes, faults and crashes.

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../../conformance/store_support.h"
#include "store/file_blob_store.h"

namespace histeq::store::testing {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxPackedBytes = 100'000;

std::unique_ptr<BlobStore> Open(const std::string& folder,
                                std::function<int(FileCall)> fault = nullptr,
                                uint64_t max_pack_bytes = 1 << 20) {
  FileBlobStoreOptions options;
  options.reserve_bytes = 0;
  options.max_packed_bytes = kMaxPackedBytes;
  options.max_pack_bytes = max_pack_bytes;
  options.fault = std::move(fault);
  auto store = OpenFileBlobStore(folder, options);
  REQUIRE(store.ok());
  return *std::move(store);
}

absl::StatusOr<BlobInfo> Put(BlobStore& store, const std::vector<uint8_t>& content) {
  auto writer = store.CreateBlob(content.size());
  if (!writer.ok()) return writer.status();
  if (auto status = (*writer)->Write(content); !status.ok()) return status;
  return (*writer)->Finish({content.size(), Sha256Of(content)});
}

std::vector<std::string> PacksIn(const std::string& folder) {
  std::vector<std::string> packs;
  for (const auto& entry : fs::directory_iterator(folder + "/packs")) {
    packs.push_back(entry.path());
  }
  std::sort(packs.begin(), packs.end());
  return packs;
}

// Files beside the packs.
size_t CountFiles(const std::string& folder) {
  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().parent_path().filename() != "packs") ++files;
  }
  return files;
}

uint64_t RoomOf(const std::string& file) {
  struct stat info {};
  REQUIRE(stat(file.c_str(), &info) == 0);
  return static_cast<uint64_t>(info.st_blocks) * 512;
}

TEST_CASE("small blobs share a file, large ones have their own") {
  TempFolder folder;
  auto store = Open(folder.path());
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{4024}, size_t{4025}, size_t{8192}, size_t{kMaxPackedBytes}}) {
    const auto content = RandomContent(size, 1);
    const auto blob = Put(*store, content);
    REQUIRE(blob.ok());
    CHECK(blob->location.find('@') != std::string::npos);
    CHECK(ReadAll(*store, blob->location, {0, 0, size}).value() == content);
    CHECK(ReasonOf(store->OpenRead(blob->location, {0, 0, size + 1})) == "BLOB_DAMAGED");
  }
  CHECK(PacksIn(folder.path()).size() == 1);
  CHECK(CountFiles(folder.path()) == 0);
  const auto large = RandomContent(kMaxPackedBytes + 1, 2);
  const auto blob = Put(*store, large);
  REQUIRE(blob.ok());
  CHECK(blob->location.find('@') == std::string::npos);
  CHECK(ReadAll(*store, blob->location).value() == large);
  CHECK(CountFiles(folder.path()) == 1);
  // One whose size nobody announced is found to be large.
  {
    auto writer = store->OpenPartial(store->NewKey(), {});
    for (size_t at = 0; at < large.size(); at += 30'000) {
      REQUIRE(
          (*writer)->Write({large.data() + at, std::min(large.size() - at, size_t{30'000})}).ok());
    }
    const auto spilled = (*writer)->Finish({large.size(), Sha256Of(large)});
    REQUIRE(spilled.ok());
    CHECK(ReadAll(*store, spilled->location).value() == large);
  }
  CHECK(CountFiles(folder.path()) == 2);
}

TEST_CASE("the room of a deleted small blob is free, and a pack with nothing left goes") {
  TempFolder folder;
  auto store = Open(folder.path());
  std::vector<BlobInfo> blobs;
  for (uint32_t i = 0; i < 30; ++i) {
    blobs.push_back(Put(*store, RandomContent(90'000, i)).value());
  }
  // 92 KiB each, of a MiB.
  REQUIRE(PacksIn(folder.path()).size() == 3);
  const std::string first = PacksIn(folder.path()).front();
  const uint64_t before = RoomOf(first);
  REQUIRE(store->Delete(blobs[5].location).ok());
  CHECK(RoomOf(first) + 90'000 <= before);
  CHECK(ReasonOf(store->OpenRead(blobs[5].location, {})) == "BLOB_DAMAGED");
  // Twice is as once, and hits no neighbour.
  REQUIRE(store->Delete(blobs[5].location).ok());
  CHECK(ReadAll(*store, blobs[4].location).value() == RandomContent(90'000, 4));
  CHECK(ReadAll(*store, blobs[6].location).value() == RandomContent(90'000, 6));
  CHECK(CountEntries(*store) == 29);
  for (const BlobInfo& blob : blobs) REQUIRE(store->Delete(blob.location).ok());
  // The last one is still appended to.
  CHECK(PacksIn(folder.path()).size() == 1);
  CHECK(RoomOf(PacksIn(folder.path()).front()) == 0);
  CHECK(CountEntries(*store) == 0);
  const auto content = RandomContent(1000, 99);
  const auto later = Put(*store, content);
  CHECK(ReadAll(*store, later->location).value() == content);
  // A location that was given away once is not given to another blob.
  store.reset();
  store = Open(folder.path());
  CHECK(ReadAll(*store, later->location).value() == content);
  for (const BlobInfo& blob : blobs) {
    CHECK(ReasonOf(store->OpenRead(blob.location, {})) == "BLOB_DAMAGED");
  }
  const auto reopened = Put(*store, content);
  CHECK(PacksIn(folder.path()).size() == 2);
  CHECK(ReadAll(*store, later->location).value() == content);
  CHECK(ReadAll(*store, reopened->location).value() == content);
}

TEST_CASE("small blobs that come together share syncs") {
  TempFolder folder;
  std::atomic<int> syncs{0};
  std::mutex mutex;
  auto store = Open(
      folder.path(),
      [&](FileCall call) {
        if (call != FileCall::kSync) return 0;
        // While one is under way the others gather.
        const std::lock_guard lock(mutex);
        ++syncs;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        return 0;
      },
      64 << 20);
  constexpr int kThreads = 8;
  constexpr int kEach = 20;
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const auto content =
            RandomContent(static_cast<size_t>(1000 + 500 * i), static_cast<uint32_t>(100 * t + i));
        const auto blob = Put(*store, content);
        if (!blob.ok()) return;
        const auto read = ReadAll(*store, blob->location);
        if (read.ok() && *read == content) ++good;
        if (i % 3 == 0 && !store->Delete(blob->location).ok()) return;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == kThreads * kEach);
  CHECK(syncs >= kEach);
  CHECK(syncs < kThreads * kEach);
  CHECK(CountEntries(*store) == kThreads * (kEach - 7));
}

TEST_CASE("a fault at any call while a small blob is stored is an error and leaves nothing") {
  const auto content = RandomContent(50'000, 3);
  const int error = GENERATE(ENOSPC, EIO);
  TempFolder folder;
  int calls = 0;
  int fail_at = -1;
  auto store = Open(folder.path(), [&](FileCall) { return calls++ == fail_at ? error : 0; });
  const auto first = Put(*store, content);
  REQUIRE(first.ok());
  for (int call = 0;; ++call) {
    INFO("errno " << error << " at call " << call);
    calls = 0;
    fail_at = call;
    const auto blob = Put(*store, content);
    const bool failed = calls > fail_at;
    fail_at = -1;
    CHECK(blob.ok() == !failed);
    if (!failed) {
      // Two writes and a sync.
      CHECK(call >= 3);
      break;
    }
    CHECK(ReasonOf(blob) == (error == EIO ? "STORE_IO" : "DISK_FULL"));
    CHECK(CountEntries(*store) == 1);
    CHECK(ReadAll(*store, first->location).value() == content);
    // The next one is stored all the same, also where a sync has failed.
    const auto next = Put(*store, content);
    REQUIRE(next.ok());
    CHECK(ReadAll(*store, next->location).value() == content);
    REQUIRE(store->Delete(next->location).ok());
  }
}

TEST_CASE("where no holes can be made every blob is a file") {
  TempFolder folder;
  auto store =
      Open(folder.path(), [](FileCall call) { return call == FileCall::kHole ? EOPNOTSUPP : 0; });
  const auto content = RandomContent(5000, 4);
  for (int i = 0; i < 3; ++i) {
    const auto blob = Put(*store, content);
    REQUIRE(blob.ok());
    CHECK(ReadAll(*store, blob->location).value() == content);
  }
  CHECK(PacksIn(folder.path()).empty());
  CHECK(CountFiles(folder.path()) == 3);
}

TEST_CASE("what is left of a record that a crash cut off is no blob") {
  TempFolder folder;
  const auto content = RandomContent(50'000, 5);
  std::string key;
  std::vector<BlobInfo> blobs;
  {
    auto store = Open(folder.path());
    for (uint32_t i = 0; i < 3; ++i) blobs.push_back(Put(*store, content).value());
    key = store->NewKey();
    auto writer = store->OpenPartial(key, {});
    REQUIRE((*writer)->Write(content).ok());
    blobs.push_back((*writer)->Finish({}).value());
  }
  const std::string pack = PacksIn(folder.path()).front();
  std::fstream stream(pack, std::ios::in | std::ios::out | std::ios::binary);
  SECTION("its header never reached the disk") {
    stream.seekp(3 * 53'248);
    stream.write(std::string(72, '\0').data(), 72);
    stream.close();
    auto store = Open(folder.path());
    CHECK(CountEntries(*store) == 3);
    CHECK(store->CommittedBytes(key).value() == 0);
    auto writer = store->OpenPartial(key, {});
    REQUIRE(writer.ok());
    CHECK_FALSE((*writer)->complete());
    CHECK((*writer)->size_bytes() == 0);
  }
  SECTION("some of its bytes never reached the disk") {
    stream.seekp(3 * 53'248 + 72 + 40'000);
    stream.write(std::string(4096, '\0').data(), 4096);
    stream.close();
    auto store = Open(folder.path());
    CHECK(ReasonOf(ReadAll(*store, blobs[3].location)) == "BLOB_DAMAGED");
    auto writer = store->OpenPartial(key, {});
    REQUIRE(writer.ok());
    CHECK_FALSE((*writer)->complete());
    CHECK((*writer)->size_bytes() == 0);
    REQUIRE((*writer)->Write(content).ok());
    const auto again = (*writer)->Finish({content.size(), Sha256Of(content)});
    REQUIRE(again.ok());
    CHECK(ReadAll(*store, again->location).value() == content);
    CHECK(CountEntries(*store) == 4);
  }
  SECTION("the file is shorter") {
    stream.close();
    fs::resize_file(pack, 3 * 53'248 + 10);
    auto store = Open(folder.path());
    CHECK(CountEntries(*store) == 3);
    CHECK(ReasonOf(store->OpenRead(blobs[3].location, {})) == "BLOB_DAMAGED");
  }
  auto store = Open(folder.path());
  for (size_t i = 0; i < 3; ++i) CHECK(ReadAll(*store, blobs[i].location).value() == content);
}

// Somebody uploads the bytes of a record, at the offsets where records begin.
TEST_CASE("bytes of a blob do not pose as another one") {
  TempFolder folder;
  auto store = Open(folder.path());
  const auto small = Put(*store, RandomContent(100, 6));
  REQUIRE(small.ok());
  std::vector<uint8_t> record(4096);
  {
    std::ifstream pack(PacksIn(folder.path()).front(), std::ios::binary);
    pack.read(reinterpret_cast<char*>(record.data()), 4096);
  }
  store.reset();
  // In another pack, whose records are signed with another seed.
  store = Open(folder.path());
  std::vector<uint8_t> content(4096 - 72);
  for (int i = 0; i < 5; ++i) content.insert(content.end(), record.begin(), record.end());
  const auto crafted = Put(*store, content);
  REQUIRE(crafted.ok());
  CHECK(CountEntries(*store) == 2);
  // Even when what covers them is gone.
  const std::string pack = PacksIn(folder.path()).back();
  std::fstream stream(pack, std::ios::in | std::ios::out | std::ios::binary);
  stream.write(std::string(72, '\0').data(), 72);
  stream.close();
  CHECK(CountEntries(*store) == 1);
}

TEST_CASE("a small blob whose sender is slow or goes away can be continued") {
  TempFolder folder;
  TestClock clock;
  FileBlobStoreOptions options;
  options.reserve_bytes = 0;
  options.clock = &clock;
  auto store = OpenFileBlobStore(folder.path(), options).value();
  const auto content = RandomContent(1000, 7);
  const std::string key = store->NewKey();
  {
    auto writer = store->OpenPartial(key, content.size());
    REQUIRE((*writer)->Write({content.data(), 100}).ok());
    CHECK((*writer)->committed_bytes() == 0);
    CHECK(CountFiles(folder.path()) == 0);
    clock.Advance(absl::Seconds(2));
    REQUIRE((*writer)->Write({content.data() + 100, 100}).ok());
    CHECK((*writer)->committed_bytes() == 200);
    REQUIRE((*writer)->Write({content.data() + 200, 300}).ok());
  }
  CHECK(store->CommittedBytes(key).value() == 500);
  const std::string other = store->NewKey();
  {
    auto writer = store->OpenPartial(other, content.size());
    REQUIRE((*writer)->Write({content.data(), 700}).ok());
  }
  store.reset();
  store = OpenFileBlobStore(folder.path(), options).value();
  CHECK(store->CommittedBytes(other).value() == 700);
  for (const std::string& unfinished : {key, other}) {
    auto writer = store->OpenPartial(unfinished, content.size());
    REQUIRE(writer.ok());
    const size_t at = (*writer)->size_bytes();
    CHECK(at >= 500);
    REQUIRE((*writer)->Write({content.data() + at, content.size() - at}).ok());
    const auto blob = (*writer)->Finish({content.size(), Sha256Of(content)});
    REQUIRE(blob.ok());
    CHECK(ReadAll(*store, blob->location).value() == content);
  }
}

TEST_CASE("packs stay readable when no new blobs are packed") {
  TempFolder folder;
  const auto content = RandomContent(1000, 8);
  auto store = Open(folder.path());
  const auto packed = Put(*store, content);
  store.reset();
  FileBlobStoreOptions options;
  options.reserve_bytes = 0;
  options.max_packed_bytes = 0;
  store = OpenFileBlobStore(folder.path(), options).value();
  CHECK(ReadAll(*store, packed->location).value() == content);
  CHECK(Put(*store, content)->location.find('@') == std::string::npos);
  CHECK(CountEntries(*store) == 2);
  CHECK(store->Delete(packed->location).ok());
  CHECK(CountEntries(*store) == 1);
}

}  // namespace
}  // namespace histeq::store::testing
