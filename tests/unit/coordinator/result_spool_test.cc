#include "result_spool.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "read_ahead.h"
#include "scratch_files.h"

namespace histeq::coordinator {
namespace {

using testing::CutScratchFiles;

std::vector<uint8_t> Pattern(size_t size) {
  std::vector<uint8_t> bytes(size);
  uint32_t state = 12345;
  for (auto& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<uint8_t>(state >> 24);
  }
  return bytes;
}

std::vector<uint8_t> ReadAll(ResultSpool& spool, size_t piece) {
  std::vector<uint8_t> all;
  std::vector<uint8_t> buffer(piece);
  while (true) {
    auto got = spool.ReadAt(all.size(), buffer, {});
    REQUIRE(got.ok());
    if (*got == 0) return all;
    all.insert(all.end(), buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(*got));
  }
}

struct Folder {
  std::filesystem::path path;
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "spoolXXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

TEST_CASE("a spool gives back what was written, as often as wanted, within and beyond the budget") {
  const int64_t budget_bytes = GENERATE(0, int64_t{2} << 20, int64_t{100} << 20);
  Folder folder;
  base::MemoryBudget budget(budget_bytes);
  const std::vector<uint8_t> bytes = Pattern((5 << 20) + 12345);
  {
    ResultSpool spool(budget, folder.path.string());
    size_t at = 0;
    for (size_t piece = 1; at < bytes.size(); piece = piece * 3 + 1) {
      const size_t length = std::min(piece, bytes.size() - at);
      REQUIRE(spool.Write(std::span(bytes).subspan(at, length)).ok());
      at += length;
    }
    spool.Close();
    CHECK(spool.size() == bytes.size());
    CHECK(budget.used_bytes() <= budget_bytes);
    CHECK((ReadAll(spool, 100000) == bytes));
    CHECK((ReadAll(spool, 3 << 20) == bytes));
    // Unlinked: a crash leaves nothing behind.
    CHECK(std::filesystem::is_empty(folder.path));
  }
  CHECK(budget.used_bytes() == 0);
}

TEST_CASE("a reader follows the writer, and learns of its end and of its failure") {
  base::MemoryBudget budget(1 << 20);
  const std::vector<uint8_t> bytes = Pattern(3 << 20);
  ResultSpool spool(budget, std::filesystem::temp_directory_path().string());
  SECTION("end") {
    std::vector<uint8_t> got;
    // Assertions belong to one thread: the writer's come later.
    absl::Status written;
    std::thread writer([&] {
      for (size_t at = 0; at < bytes.size() && written.ok(); at += 1 << 16) {
        written = spool.Write(std::span(bytes).subspan(at, 1 << 16));
      }
      spool.Close();
    });
    got = ReadAll(spool, 70000);
    writer.join();
    CHECK(written.ok());
    CHECK((got == bytes));
  }
  SECTION("failure") {
    absl::Status seen;
    std::thread reader([&] {
      std::vector<uint8_t> buffer(100);
      seen = spool.ReadAt(0, buffer, {}).status();
    });
    spool.Abandon(absl::DataLossError("broken"));
    reader.join();
    CHECK(seen.code() == absl::StatusCode::kDataLoss);
  }
  SECTION("cancelled") {
    base::CancelSource cancel;
    absl::Status seen;
    std::thread reader([&] {
      std::vector<uint8_t> buffer(100);
      seen = spool.ReadAt(0, buffer, cancel.token()).status();
    });
    cancel.Cancel(absl::AbortedError("lost"));
    reader.join();
    CHECK(seen.code() == absl::StatusCode::kAborted);
  }
}

TEST_CASE("a scratch folder that cannot be used is reported with its name") {
  base::MemoryBudget budget(0);
  ResultSpool spool(budget, "/nonexistent/scratch");
  const absl::Status status = spool.Write(Pattern(10));
  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  CHECK(base::GetErrorDetail(status)->reason == "SCRATCH_FAILED");
  CHECK_THAT(std::string(status.message()), Catch::Contains("/nonexistent/scratch"));
}

TEST_CASE("a scratch file that ends early is an error of its own, not the one of a call before") {
  Folder folder;
  base::MemoryBudget budget(0);
  ResultSpool spool(budget, folder.path.string());
  REQUIRE(spool.Write(Pattern(1000)).ok());
  spool.Close();
  REQUIRE(CutScratchFiles(folder.path.string()) == 1);
  std::vector<uint8_t> buffer(10);
  errno = ENOSPC;
  const absl::Status status = spool.ReadAt(0, buffer, {}).status();
  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  CHECK(base::GetErrorDetail(status)->reason == "SCRATCH_FAILED");
  CHECK_THAT(std::string(status.message()), Catch::Contains("Input/output error"));
}

// Gives `bytes` in uneven pieces, then `end`.
class Script final : public base::ByteSource {
 public:
  Script(std::vector<uint8_t> bytes, absl::Status end) : bytes_(std::move(bytes)), end_(end) {}
  absl::StatusOr<size_t> Read(std::span<uint8_t> buffer) override {
    if (at_ == bytes_.size()) {
      if (!end_.ok()) return end_;
      return 0;
    }
    const size_t length = std::min({buffer.size(), size_t{77777}, bytes_.size() - at_});
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(at_), length, buffer.begin());
    at_ += length;
    furthest_ = at_;
    return length;
  }
  size_t furthest() const { return furthest_; }

 private:
  const std::vector<uint8_t> bytes_;
  const absl::Status end_;
  size_t at_ = 0;
  std::atomic<size_t> furthest_ = 0;
};

TEST_CASE("reading ahead changes neither the bytes nor the end") {
  const std::vector<uint8_t> bytes = Pattern(3'000'000);
  const absl::Status end =
      GENERATE(false, true) ? absl::DataLossError("cut off") : absl::OkStatus();
  Script script(bytes, end);
  ReadAhead ahead(script, 1 << 20);
  std::vector<uint8_t> got;
  std::vector<uint8_t> buffer(65537);
  absl::Status status;
  while (true) {
    auto read = ahead.Read(buffer);
    // A full queue and the piece that is being filled.
    CHECK(script.furthest() <= got.size() + buffer.size() + (1 << 20) + (512 << 10));
    if (!read.ok()) {
      status = read.status();
      break;
    }
    if (*read == 0) break;
    got.insert(got.end(), buffer.begin(), buffer.begin() + static_cast<ptrdiff_t>(*read));
  }
  CHECK((got == bytes));
  CHECK(status == end);
}

TEST_CASE("a reader that stops early does not wait for the whole source") {
  Script script(Pattern(50'000'000), absl::OkStatus());
  {
    ReadAhead ahead(script, 1 << 20);
    std::vector<uint8_t> buffer(10);
    REQUIRE(ahead.Read(buffer).ok());
  }
  CHECK(script.furthest() < 3'000'000);
}

}  // namespace
}  // namespace histeq::coordinator
