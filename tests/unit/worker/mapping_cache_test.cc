#include "mapping_cache.h"

#include <openssl/sha.h>

#include <catch2/catch.hpp>
#include <vector>

#include "base/error.h"

namespace histeq::worker {
namespace {

const ImageShape kGray{.width = 10, .height = 10};

std::vector<uint8_t> Table(uint8_t first) {
  std::vector<uint8_t> table(256);
  for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<uint8_t>(first + i);
  return table;
}

std::string IdOf(const std::vector<uint8_t>& bytes) {
  std::string id(32, '\0');
  SHA256(bytes.data(), bytes.size(), reinterpret_cast<uint8_t*>(id.data()));
  return id;
}

bool Holds(MappingCache& cache, uint8_t first) {
  const auto found = cache.Find(IdOf(Table(first)), {}, kGray);
  REQUIRE(found.ok());
  return *found != nullptr;
}

TEST_CASE("a mapping is found under the hash of its bytes, and under no other name") {
  MappingCache cache(1 << 20);
  const auto table = Table(3);
  CHECK_FALSE(Holds(cache, 3));
  const auto added = cache.Add(IdOf(table), {}, kGray, table);
  REQUIRE(added.ok());
  CHECK(std::equal(table.begin(), table.end(), (*added)->data().begin()));
  CHECK(Holds(cache, 3));

  const auto wrong = cache.Add(IdOf(Table(4)), {}, kGray, table);
  CHECK(wrong.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(base::GetErrorDetail(wrong.status())->reason == "BAD_MAPPING");
  CHECK_FALSE(Holds(cache, 4));
}

TEST_CASE("a mapping of another image's size is refused, new or held") {
  MappingCache cache(1 << 20);
  const auto table = Table(3);
  REQUIRE(cache.Add(IdOf(table), {}, kGray, table).ok());
  const ImageShape deep{.width = 10, .height = 10, .bits_per_sample = 16};
  CHECK(cache.Add(IdOf(table), {}, deep, table).status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(cache.Find(IdOf(table), {}, deep).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("the same tables serve another kind of image") {
  MappingCache cache(1 << 20);
  const auto table = Table(0);
  REQUIRE(cache.Add(IdOf(table), {}, kGray, table).ok());
  EqualizeParameters value;
  value.color = Color::kValue;
  const ImageShape rgb{.width = 10, .height = 10, .channels = 3};
  const auto found = cache.Find(IdOf(table), value, rgb);
  REQUIRE(found.ok());
  REQUIRE(*found != nullptr);
  CHECK((*found)->factors().size() == 256);
}

TEST_CASE("the limit holds, and what was not used for the longest time goes first") {
  // Room for three.
  MappingCache cache(3 * (256 + 512));
  for (const uint8_t i : {1, 2, 3}) REQUIRE(cache.Add(IdOf(Table(i)), {}, kGray, Table(i)).ok());
  CHECK(Holds(cache, 1));
  REQUIRE(cache.Add(IdOf(Table(4)), {}, kGray, Table(4)).ok());
  CHECK(Holds(cache, 1));
  CHECK_FALSE(Holds(cache, 2));
  CHECK(Holds(cache, 3));
  CHECK(Holds(cache, 4));
  CHECK(cache.bytes() == 3 * (256 + 512));
  // Again: no new entry.
  REQUIRE(cache.Add(IdOf(Table(4)), {}, kGray, Table(4)).ok());
  CHECK(cache.bytes() == 3 * (256 + 512));

  MappingCache none(0);
  CHECK(none.Add(IdOf(Table(1)), {}, kGray, Table(1)).ok());
  CHECK_FALSE(Holds(none, 1));
}

}  // namespace
}  // namespace histeq::worker
