#include "rpc/chunk.h"

#include <catch2/catch.hpp>
#include <string>

#include "base/error.h"

namespace histeq::rpc {
namespace {

v1::Chunk Sealed(uint64_t offset, std::string data) {
  v1::Chunk chunk;
  chunk.set_data(std::move(data));
  SealChunk(offset, chunk);
  return chunk;
}

base::ErrorDetail ErrorOf(const absl::Status& status, absl::StatusCode code) {
  CHECK(status.code() == code);
  const auto detail = base::GetErrorDetail(status);
  REQUIRE(detail.has_value());
  return *detail;
}

TEST_CASE("A sealed chunk has its offset and the CRC-32C of RFC 3720") {
  const v1::Chunk chunk = Sealed(42, "123456789");
  CHECK(chunk.offset() == 42);
  CHECK(chunk.crc32c() == 0xE3069283u);
  CHECK(BytesOf(chunk).size() == 9);
  CHECK(CheckChunk(chunk, 42).ok());
}

TEST_CASE("Sealing again replaces what was there") {
  v1::Chunk chunk = Sealed(0, "123456789");
  chunk.mutable_data()->append("0");
  SealChunk(7, chunk);
  CHECK(CheckChunk(chunk, 7).ok());
}

TEST_CASE("An empty chunk is one") { CHECK(CheckChunk(Sealed(3, ""), 3).ok()); }

TEST_CASE("Every damaged bit is noticed") {
  const v1::Chunk good = Sealed(0, std::string("\x00\xFF histogram", 12));
  for (size_t bit = 0; bit < good.data().size() * 8; ++bit) {
    v1::Chunk bad = good;
    (*bad.mutable_data())[bit / 8] ^= static_cast<char>(1 << bit % 8);
    const auto detail = ErrorOf(CheckChunk(bad, 0), absl::StatusCode::kDataLoss);
    CHECK(detail.reason == "CHECKSUM_MISMATCH");
  }
}

TEST_CASE("Without a CRC the bytes are taken as they are") {
  v1::Chunk chunk;
  chunk.set_offset(5);
  chunk.set_data("abc");
  CHECK(CheckChunk(chunk, 5).ok());
  // Zero is a CRC like any other.
  chunk.set_crc32c(0);
  CHECK(CheckChunk(chunk, 5).code() == absl::StatusCode::kDataLoss);
}

TEST_CASE("A chunk elsewhere says where to go on") {
  for (const uint64_t offset : {uint64_t{99}, uint64_t{101}, uint64_t{0}, UINT64_MAX}) {
    const auto detail =
        ErrorOf(CheckChunk(Sealed(offset, "abc"), 100), absl::StatusCode::kOutOfRange);
    CHECK(detail.reason == "OFFSET_MISMATCH");
    CHECK(detail.metadata.at("committed") == "100");
    CHECK(detail.metadata.at("actual") == std::to_string(offset));
  }
}

TEST_CASE("The largest chunk passes, one byte more does not") {
  CHECK(CheckChunk(Sealed(0, std::string(kMaxChunkBytes, 'x')), 0).ok());
  const auto detail = ErrorOf(CheckChunk(Sealed(0, std::string(kMaxChunkBytes + 1, 'x')), 0),
                              absl::StatusCode::kInvalidArgument);
  CHECK(detail.reason == "CHUNK_TOO_LARGE");
  CHECK(detail.metadata.at("limit") == "1048576");
  CHECK(detail.metadata.at("actual") == "1048577");
}

TEST_CASE("The largest chunk fits into a message") {
  CHECK(Sealed(UINT64_MAX, std::string(kMaxChunkBytes, 'x')).ByteSizeLong() < kMaxMessageBytes);
}

}  // namespace
}  // namespace histeq::rpc
