// What an upload leaves on a full disk.

#include "upload_session.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>

#include "session_harness.h"

namespace histeq::frontend {
namespace {

using store::testing::MakeHeader;

TEST_CASE("an upload that fills the disk leaves nothing, and its id is free again") {
  SessionHarness harness;
  const std::vector<uint8_t> file = TestBytes("camera.png");
  const store::UploadHeader header = MakeHeader("up");
  const auto full_at = [&harness](store::FileCall failing) {
    harness.fault = [failing](store::FileCall call) { return call == failing ? ENOSPC : 0; };
  };
  absl::Status status;
  {
    auto session = harness.BeginUpload(header);
    REQUIRE(session.ok());
    REQUIRE((*session)->Write({file.data(), 50'000}).ok());
    REQUIRE((*session)->Sync().ok());
    SECTION("in the middle") {
      full_at(store::FileCall::kWrite);
      status = (*session)->Write({file.data() + 50'000, 50'000});
    }
    SECTION("when its bytes are synced") {
      REQUIRE((*session)->Write({file.data() + 50'000, 50'000}).ok());
      full_at(store::FileCall::kSync);
      status = (*session)->Sync();
    }
    SECTION("at its end") {
      REQUIRE((*session)->Write({file.data() + 50'000, file.size() - 50'000}).ok());
      full_at(store::FileCall::kSync);
      status = (*session)->Finish({}).status();
    }
  }
  CHECK(ReasonOf(status) == "DISK_FULL");
  CHECK(harness.Files().empty());
  CHECK(ReasonOf(harness.catalog->GetUpload("up")) == "UPLOAD_NOT_FOUND");
  harness.fault = nullptr;
  auto again = harness.BeginUpload(header);
  REQUIRE(again.ok());
  CHECK((*again)->size_bytes() == 0);
  REQUIRE((*again)->Write(file).ok());
  CHECK((*again)->Finish({}).ok());
}

TEST_CASE("an upload that the disk cannot hold is forgotten at its door") {
  SessionHarness harness;
  store::UploadHeader header = MakeHeader("up");
  header.size_bytes = 1'000'000;
  {
    auto session = harness.BeginUpload(header);
    REQUIRE(session.ok());
    REQUIRE((*session)->Write({TestBytes("moon.png").data(), 1000}).ok());
  }
  CHECK_FALSE(harness.Files().empty());
  harness.fault = [](store::FileCall call) {
    return call == store::FileCall::kCreate ? ENOSPC : 0;
  };
  CHECK(ReasonOf(harness.BeginUpload(header)) == "DISK_FULL");
  CHECK(harness.Files().empty());
  CHECK(ReasonOf(harness.catalog->GetUpload("up")) == "UPLOAD_NOT_FOUND");
}

TEST_CASE("what nobody continues makes room on a full disk, what was just broken off does not") {
  SessionHarness harness;
  const std::vector<uint8_t> file = TestBytes("moon.png");
  const auto leave = [&](const std::string& id) {
    auto session = harness.BeginUpload(MakeHeader(id));
    REQUIRE(session.ok());
    REQUIRE((*session)->Write({file.data(), 1000}).ok());
  };
  leave("idle");
  const std::set<std::string> idle = harness.Files();
  // The disk has room for no other file while those are there.
  harness.fault = [&](store::FileCall call) {
    if (call != store::FileCall::kCreate) return 0;
    const std::set<std::string> files = harness.Files();
    return std::includes(files.begin(), files.end(), idle.begin(), idle.end()) ? ENOSPC : 0;
  };
  harness.clock.Advance(absl::Minutes(9));
  CHECK(ReasonOf(harness.BeginUpload(MakeHeader("new"))) == "DISK_FULL");
  CHECK(harness.catalog->GetUpload("idle").ok());
  harness.clock.Advance(absl::Minutes(2));
  auto session = harness.BeginUpload(MakeHeader("new"));
  REQUIRE(session.status() == absl::OkStatus());
  CHECK(ReasonOf(harness.catalog->GetUpload("idle")) == "UPLOAD_NOT_FOUND");
  REQUIRE((*session)->Write(file).ok());
  CHECK((*session)->Finish({}).ok());
}

}  // namespace
}  // namespace histeq::frontend
