#include "spool.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace histeq::engine {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBytes = 100'000;

uint8_t Sample(uint32_t index, uint64_t at) {
  return static_cast<uint8_t>(index * 37 + at * 11 + (at >> 8));
}

absl::Status Put(Spool& spool, uint32_t index, uint64_t bytes) {
  auto memory = spool.Allocate(index, bytes);
  if (!memory.ok()) return memory.status();
  for (uint64_t i = 0; i < bytes; ++i) (*memory)[i] = Sample(index, i);
  return spool.Store(index);
}

// Wrong bytes of [offset, offset + count).
uint64_t Wrong(const Spool& spool, uint32_t index, uint64_t offset, uint64_t count) {
  std::vector<uint8_t> out(count);
  if (!spool.Read(index, offset, out).ok()) return count;
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < count; ++i) wrong += out[i] != Sample(index, offset + i);
  return wrong;
}

struct Folder {
  Folder() { REQUIRE(mkdtemp(path.data()) != nullptr); }
  ~Folder() { fs::remove_all(path); }
  // Bytes on the disk of this process's unlinked files in it.
  uint64_t UsedBytes() const {
    uint64_t bytes = 0;
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      const std::string target = fs::read_symlink(entry.path(), gone).string();
      struct stat status {};
      if (target.rfind(path + "/", 0) == 0 && stat(entry.path().c_str(), &status) == 0)
        bytes += static_cast<uint64_t>(status.st_blocks) * 512;
    }
    return bytes;
  }
  std::string path = (fs::temp_directory_path() / "spool-test-XXXXXX").string();
};

}  // namespace

TEST_CASE("segments wait in memory, in a file, or both, as the budget allows") {
  const int64_t limit = GENERATE(0, 3 * 102'400 + 5, 1 << 30);
  CAPTURE(limit);
  constexpr uint32_t kCount = 8;
  const Folder folder;
  base::MemoryBudget budget(limit);
  {
    Spool spool(kCount, kBytes, &budget, folder.path);
    for (uint32_t i = 0; i < kCount; ++i)
      REQUIRE(Put(spool, i, i + 1 == kCount ? 77 : kBytes).ok());
    spool.Seal();
    CHECK(budget.used_bytes() <= limit);
    const uint64_t all = 7 * kBytes + 77;
    CHECK(spool.memory_bytes() == (limit == 0 ? 0 : limit < (1 << 30) ? 3 * kBytes : all));
    CHECK(spool.memory_bytes() + spool.file_bytes() == all);
    // The file has no name.
    CHECK(fs::is_empty(folder.path));
    // In any order, again and again, in parts.
    for (const uint32_t i : {6u, 0u, 3u, 3u, 5u}) {
      CHECK(Wrong(spool, i, 0, kBytes) == 0);
      CHECK(Wrong(spool, i, 12'345, 54'321) == 0);
      CHECK(Wrong(spool, i, kBytes, 0) == 0);
    }
    CHECK(Wrong(spool, 7, 0, 77) == 0);
    std::vector<uint8_t> beyond(2);
    CHECK(spool.Read(0, kBytes - 1, beyond).code() == absl::StatusCode::kOutOfRange);
    CHECK(spool.Read(7, 76, beyond).code() == absl::StatusCode::kOutOfRange);
    // What is in memory can be had where it lies.
    for (uint32_t i = 0; i < kCount; ++i) {
      const std::span<uint8_t> here = spool.InPlace(i);
      if (!here.empty()) CHECK(here[50] == Sample(i, 50));
    }
    CHECK(spool.InPlace(0).empty() == (limit == 0));
    // Released segments give their memory back, and are not there any more.
    for (uint32_t i = 0; i < kCount; ++i) {
      spool.Release(i);
      spool.Release(i);
      CHECK(spool.InPlace(i).empty());
      CHECK(spool.Read(i, 0, beyond).code() == absl::StatusCode::kFailedPrecondition);
      if (i + 1 < kCount) CHECK(Wrong(spool, i + 1, 0, 77) == 0);
    }
    CHECK(spool.memory_bytes() == 0);
    CHECK(budget.used_bytes() == 0);
  }
  CHECK(budget.used_bytes() == 0);
}

TEST_CASE("without a budget everything goes to the file") {
  const Folder folder;
  Spool spool(2, kBytes, nullptr, folder.path);
  REQUIRE(Put(spool, 0, kBytes).ok());
  REQUIRE(Put(spool, 1, kBytes).ok());
  CHECK(spool.file_bytes() == 2 * kBytes);
  CHECK(Wrong(spool, 1, 0, kBytes) == 0);
}

TEST_CASE("a spool that ends early gives everything back") {
  // An arena from the heap, and one of its own pages.
  const int64_t limit = GENERATE(1 << 20, 4 << 20);
  const Folder folder;
  base::MemoryBudget budget(limit);
  {
    Spool spool(30, kBytes, &budget, folder.path);
    for (uint32_t i = 0; i < 20; ++i) REQUIRE(Put(spool, i, kBytes).ok());
    // Allocated, never stored.
    REQUIRE(spool.Allocate(20, kBytes).ok());
  }
  CHECK(budget.used_bytes() == 0);
  {
    Spool spool(3, kBytes, &budget, folder.path);
    REQUIRE(spool.Allocate(0, kBytes).ok());
  }
  CHECK(budget.used_bytes() == 0);
  CHECK(folder.UsedBytes() == 0);
}

TEST_CASE("a budget that others use is shared with them") {
  const Folder folder;
  base::MemoryBudget budget(4 * kBytes);
  REQUIRE(budget.TryTake(3 * kBytes));
  Spool spool(2, kBytes, &budget, folder.path);
  REQUIRE(Put(spool, 0, kBytes).ok());
  CHECK(spool.memory_bytes() == 0);
  budget.Give(3 * kBytes);
  REQUIRE(Put(spool, 1, kBytes).ok());
  CHECK(spool.memory_bytes() == kBytes);
  CHECK(Wrong(spool, 0, 0, kBytes) == 0);
  CHECK(Wrong(spool, 1, 0, kBytes) == 0);
}

TEST_CASE("the disk is given back segment by segment") {
  const Folder folder;
  Spool spool(4, 1 << 20, nullptr, folder.path);
  for (uint32_t i = 0; i < 4; ++i) REQUIRE(Put(spool, i, 1 << 20).ok());
  const uint64_t full = folder.UsedBytes();
  REQUIRE(full >= 4 << 20);
  spool.Release(0);
  spool.Release(2);
  const uint64_t half = folder.UsedBytes();
  CHECK(half <= full - (2 << 20) + 64 * 1024);
  CHECK(Wrong(spool, 1, 0, 1 << 20) == 0);
  CHECK(Wrong(spool, 3, 0, 1 << 20) == 0);
}

TEST_CASE("a folder that is not there") {
  Spool spool(1, kBytes, nullptr, "/nowhere/at/all");
  const absl::Status status = Put(spool, 0, kBytes);
  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  REQUIRE(base::GetErrorDetail(status).has_value());
  CHECK(base::GetErrorDetail(status)->reason == "SCRATCH_FAILED");
}

TEST_CASE("a full disk") {
  const Folder folder;
  // A limit on file sizes answers where a small disk would.
  struct rlimit before {};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = before;
  small.rlim_cur = 250'000;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::array<absl::Status, 3> statuses;
  uint64_t wrong = 0;
  {
    Spool spool(3, kBytes, nullptr, folder.path);
    for (uint32_t i = 0; i < 3; ++i) statuses[i] = Put(spool, i, kBytes);
    wrong = Wrong(spool, 0, 0, kBytes) + Wrong(spool, 1, 0, kBytes);
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  CHECK(statuses[0].ok());
  CHECK(statuses[1].ok());
  CHECK(statuses[2].code() == absl::StatusCode::kResourceExhausted);
  REQUIRE(base::GetErrorDetail(statuses[2]).has_value());
  CHECK(base::GetErrorDetail(statuses[2])->reason == "DISK_FULL");
  CHECK(base::GetErrorDetail(statuses[2])->metadata["actual"] == std::to_string(kBytes));
  CHECK(base::GetErrorDetail(statuses[2])->metadata["folder"] == folder.path);
  // What was stored before is whole.
  CHECK(wrong == 0);
}

TEST_CASE("threads read and release at the same time") {
  constexpr uint32_t kCount = 64;
  const Folder folder;
  base::MemoryBudget budget(kCount / 2 * 102'400);
  Spool spool(kCount, kBytes, &budget, folder.path);
  for (uint32_t i = 0; i < kCount; ++i) REQUIRE(Put(spool, i, kBytes).ok());
  std::atomic<uint64_t> wrong = 0;
  std::atomic<uint32_t> next = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      while (true) {
        const uint32_t i = next++;
        if (i >= kCount) return;
        wrong += Wrong(spool, i, 0, kBytes);
        wrong += Wrong(spool, i, 1, 100);
        spool.Release(i);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(budget.used_bytes() == 0);
}

}  // namespace histeq::engine
