// What must wait whole waits within the budget or in an unlinked file, and leaves nothing.

#include "codec/scratch.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <filesystem>

#include "base/error.h"
#include "codec/scratch_file.h"
#include "codec_run.h"
#include "jpeg_writer.h"
#include "memory_stream.h"
#include "png_writer.h"

namespace histeq::codec {
namespace {

class TempFolder {
 public:
  TempFolder() {
    char name[] = "/tmp/histeq-codec-XXXXXX";
    if (mkdtemp(name) == nullptr) throw std::runtime_error("no folder");
    path_ = name;
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  bool empty() const { return std::filesystem::is_empty(path_); }

 private:
  std::string path_;
};

std::vector<std::vector<uint8_t>> WaitingFiles() {
  return {
      WriteJpeg({.width = 700, .height = 500, .progressive = true}),
      WriteJpeg({.width = 700, .height = 500, .separate_scans = true}),
      WriteJpeg({.width = 300,
                 .height = 200,
                 .space = JCS_CMYK,
                 .sampling = {{1, 1}, {1, 1}, {1, 1}, {1, 1}},
                 .progressive = true,
                 .jfif = false,
                 .adobe = true}),
      WritePng({.width = 700, .height = 500, .interlaced = true}),
      WritePng({.width = 700, .height = 500, .color_type = 0, .bit_depth = 16, .interlaced = true}),
      WritePng({.width = 700, .height = 500, .color_type = 3, .interlaced = true})};
}

TEST_CASE("the budget decides where rows wait, not what they are") {
  for (const auto& file : WaitingFiles()) {
    base::MemoryBudget tiny(1000), large(64 << 20);
    TempFolder folder;
    const std::string nowhere = "/nonexistent/folder";
    const auto in_memory = DecodeAll(file, {.budget = &large, .scratch_dir = nowhere}, 1);
    REQUIRE(Reason(in_memory.status()) == "OK");
    CHECK(large.used_bytes() == 0);
    for (base::MemoryBudget* budget : {&tiny, static_cast<base::MemoryBudget*>(nullptr)}) {
      const auto in_file = DecodeAll(file, {.budget = budget, .scratch_dir = folder.path()}, 1);
      REQUIRE(Reason(in_file.status()) == "OK");
      CHECK(VisiblePlane(*in_file, 0) == VisiblePlane(*in_memory, 0));
      CHECK(*EncodeAll(*in_file) == *EncodeAll(*in_memory));
      CHECK(folder.empty());
    }
    CHECK(tiny.used_bytes() == 0);
  }
}

TEST_CASE("the budget is taken while the decoder lives, and its file has no name") {
  for (const auto& file : WaitingFiles()) {
    base::MemoryBudget large(64 << 20);
    TempFolder folder;
    {
      MemorySource source(file);
      const auto decoder = OpenDecoder(source, {.budget = &large});
      REQUIRE(decoder.ok());
      CHECK(large.used_bytes() > 0);
    }
    CHECK(large.used_bytes() == 0);
    {
      MemorySource source(file);
      const auto decoder = OpenDecoder(source, {.scratch_dir = folder.path()});
      REQUIRE(decoder.ok());
      CHECK(folder.empty());
    }
  }
}

TEST_CASE("larger than the window that stays mapped") {
  TempFolder folder;
  base::MemoryBudget large(512 << 20);
  for (const auto& file : {WriteJpeg({.width = 2500, .height = 2500, .progressive = true}),
                           WritePng({.width = 2500, .height = 2500, .interlaced = true})}) {
    const auto a = DecodeAll(file, {.scratch_dir = folder.path()}, 1);
    const auto b = DecodeAll(file, {.budget = &large}, 3);
    REQUIRE(Reason(a.status()) == "OK");
    REQUIRE(Reason(b.status()) == "OK");
    for (size_t p = 0; p < a->layout.planes.size(); ++p)
      CHECK(VisiblePlane(*a, p) == VisiblePlane(*b, p));
  }
}

TEST_CASE("others need no scratch") {
  for (const auto& file : {WriteJpeg({}), WritePng({})})
    CHECK(Reason(DecodeAll(file, {.scratch_dir = "/nonexistent/folder"}).status()) == "OK");
}

TEST_CASE("a scratch folder that is missing") {
  for (const auto& file : WaitingFiles()) {
    const auto status = DecodeAll(file, {.scratch_dir = "/nonexistent/folder"}).status();
    CHECK(Reason(status) == "RESOURCE_EXHAUSTED SCRATCH_FAILED");
    CHECK(status.message().find("/nonexistent/folder") != std::string::npos);
  }
}

TEST_CASE("a scratch folder that is full") {
  TempFolder folder;
  // As good as a full disk: files may not grow beyond a limit.
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  std::vector<std::string> reasons;
  const auto files = WaitingFiles();
  rlimit small = old;
  small.rlim_cur = 4096;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  for (const auto& file : files)
    reasons.push_back(Reason(DecodeAll(file, {.scratch_dir = folder.path()}).status()));
  REQUIRE(setrlimit(RLIMIT_FSIZE, &old) == 0);
  std::signal(SIGXFSZ, handler);
  for (const auto& reason : reasons) CHECK(reason == "RESOURCE_EXHAUSTED DISK_FULL");
  CHECK(folder.empty());
}

TEST_CASE("a scratch file has no name, also where the file system needs one to make it") {
  const int refusal = GENERATE(0, EOPNOTSUPP, EISDIR, EINVAL, ENOENT);
  CAPTURE(refusal);
  TempFolder folder;
  const auto fd = OpenScratchFile(folder.path(), refusal);
  REQUIRE(Reason(fd.status()) == "OK");
  CHECK(folder.empty());
  struct stat info {};
  REQUIRE(fstat(*fd, &info) == 0);
  CHECK(info.st_nlink == 0);
  CHECK(info.st_size == 0);
  CHECK((info.st_mode & 0777) == 0600);
  char byte = 'a';
  CHECK(pwrite(*fd, &byte, 1, 5) == 1);
  byte = 0;
  CHECK(pread(*fd, &byte, 1, 5) == 1);
  CHECK(byte == 'a');
  close(*fd);
  // In a folder that is missing neither way leads to a file.
  CHECK(Reason(OpenScratchFile(folder.path() + "/missing", refusal).status()) ==
        "RESOURCE_EXHAUSTED SCRATCH_FAILED");
  // Other refusals are final.
  CHECK(Reason(OpenScratchFile(folder.path(), EACCES).status()) ==
        "RESOURCE_EXHAUSTED SCRATCH_FAILED");
}

TEST_CASE("a scratch disk without room says how much there is and how much was needed") {
  const auto facts = [](int error) {
    return base::GetErrorDetail(ScratchError("it cannot be written", "/tmp", 12345, error))
        ->metadata;
  };
  const auto full = facts(ENOSPC);
  CHECK(full.at("actual") == "12345");
  CHECK(full.at("folder") == "/tmp");
  REQUIRE(full.contains("limit"));
  CHECK(std::stoull(full.at("limit")) < UINT64_MAX);
  // What the disk has is not what a quota leaves.
  CHECK(facts(EDQUOT).count("limit") == 0);
  CHECK(facts(EDQUOT).at("actual") == "12345");
  CHECK(facts(EIO) == std::map<std::string, std::string>{{"folder", "/tmp"}});
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("a scratch file that finds no address space is no fault of its folder") {
  TempFolder folder;
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_AS, &old) == 0);
  rlimit small = old;
  small.rlim_cur = 1ull << 30;
  REQUIRE(setrlimit(RLIMIT_AS, &small) == 0);
  const auto scratch = Scratch::Create(1ull << 30, nullptr, folder.path());
  REQUIRE(setrlimit(RLIMIT_AS, &old) == 0);
  CHECK(Reason(scratch.status()) == "RESOURCE_EXHAUSTED OUT_OF_MEMORY");
  CHECK(folder.empty());
}
#endif

TEST_CASE("a damaged file leaves nothing") {
  TempFolder folder;
  base::MemoryBudget large(64 << 20);
  for (auto file : WaitingFiles()) {
    file.resize(file.size() / 2);
    CHECK(Reason(DecodeAll(file, {.budget = &large}).status()) ==
          "INVALID_ARGUMENT IMAGE_TRUNCATED");
    CHECK(Reason(DecodeAll(file, {.scratch_dir = folder.path()}).status()) ==
          "INVALID_ARGUMENT IMAGE_TRUNCATED");
    CHECK(large.used_bytes() == 0);
    CHECK(folder.empty());
  }
}

}  // namespace
}  // namespace histeq::codec
