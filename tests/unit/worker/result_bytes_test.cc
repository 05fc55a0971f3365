#include "result_bytes.h"

#include <catch2/catch.hpp>

#include "base/error.h"

namespace histeq::worker {
namespace {

std::vector<uint8_t> Join(const ResultBytes& result) {
  std::vector<uint8_t> all;
  for (const auto& block : result.blocks()) all.insert(all.end(), block.begin(), block.end());
  return all;
}

TEST_CASE("a result is what was written, in whole blocks") {
  Slots slots(1, 10 << 20);
  auto place = slots.Take({}, 0);
  REQUIRE(place.ok());
  ResultBytes result(**place, 0);
  std::vector<uint8_t> expected;
  for (const size_t size : {10, 0, 1, 1'000'000, 300'000, 7}) {
    std::vector<uint8_t> part(size);
    for (size_t i = 0; i < size; ++i) part[i] = static_cast<uint8_t>(i * 7 + size);
    REQUIRE(result.Write(part).ok());
    expected.insert(expected.end(), part.begin(), part.end());
  }
  CHECK(result.size() == expected.size());
  CHECK((Join(result) == expected));
  for (size_t i = 0; i + 1 < result.blocks().size(); ++i) {
    CHECK(result.blocks()[i].size() == ResultBytes::kBlockBytes);
  }
}

TEST_CASE(
    "a result takes memory as it grows beyond what was held for it, and ends where there is none") {
  Slots slots(2, 1000);
  auto place = slots.Take({}, 200);
  REQUIRE(place.ok());
  ResultBytes result(**place, 100);
  const std::vector<uint8_t> bytes(100, 1);
  CHECK(result.Write(bytes).ok());
  CHECK(slots.state().free_memory_bytes == 800);
  CHECK(result.Write(bytes).ok());
  CHECK(slots.state().free_memory_bytes == 700);
  {
    const auto other = slots.Take({}, 650);
    REQUIRE(other.ok());
    const absl::Status refused = result.Write(bytes);
    REQUIRE(refused.code() == absl::StatusCode::kResourceExhausted);
    CHECK(base::GetErrorDetail(refused)->reason == "MEMORY_BUDGET");
    CHECK(base::GetErrorDetail(refused)->retry_after.has_value());
    CHECK(result.size() == 200);
  }
  CHECK(result.Write(std::vector<uint8_t>(700)).ok());
  CHECK(slots.state().free_memory_bytes == 0);
  CHECK_FALSE(base::GetErrorDetail(result.Write(bytes))->retry_after.has_value());
  place->reset();
  CHECK(slots.state().free_memory_bytes == 1000);
}

}  // namespace
}  // namespace histeq::worker
