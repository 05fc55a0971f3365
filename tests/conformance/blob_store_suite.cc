// What every BlobStore does.

#include <atomic>
#include <catch2/catch.hpp>
#include <memory>
#include <set>
#include <thread>

#include "store_harness.h"
#include "store_support.h"

namespace histeq::store::testing {
namespace {

TEMPLATE_TEST_CASE("a blob written in parts reads back whole and in ranges", "", BLOB_STORES) {
  TestType harness;
  BlobStore& store = harness.store();
  const auto content = RandomContent(350'000, 1);
  auto writer = store.OpenPartial(store.NewKey(), content.size());
  REQUIRE(writer.ok());
  for (size_t at = 0; at < content.size(); at += 33'333) {
    const size_t size = std::min<size_t>(33'333, content.size() - at);
    REQUIRE((*writer)->Write({content.data() + at, size}).ok());
    CHECK((*writer)->size_bytes() == at + size);
  }
  CHECK((*writer)->sha256() == Sha256Of(content));
  const auto blob = (*writer)->Finish({content.size(), Sha256Of(content)});
  REQUIRE(blob.ok());
  CHECK(blob->size_bytes == content.size());
  CHECK(blob->sha256 == Sha256Of(content));
  CHECK(blob->location.rfind("blob:" + (*writer)->key(), 0) == 0);
  const auto again = (*writer)->Finish({});
  REQUIRE(again.ok());
  CHECK(again->location == blob->location);
  writer->reset();

  CHECK(ReadAll(store, blob->location).value() == content);
  harness.Reopen();
  BlobStore& reopened = harness.store();
  CHECK(ReadAll(reopened, blob->location, {0, 0, content.size()}).value() == content);
  for (const auto& [offset, limit] : std::vector<std::pair<uint64_t, uint64_t>>{
           {0, 1}, {1, 0}, {100'000, 50'000}, {349'999, 0}, {349'999, 100}, {350'000, 0}}) {
    const auto part = ReadAll(reopened, blob->location, {offset, limit, {}});
    REQUIRE(part.ok());
    const uint64_t size =
        std::min<uint64_t>(limit == 0 ? content.size() : limit, content.size() - offset);
    CHECK(*part == std::vector<uint8_t>(content.begin() + static_cast<ptrdiff_t>(offset),
                                        content.begin() + static_cast<ptrdiff_t>(offset + size)));
  }
  const auto beyond = reopened.OpenRead(blob->location, {350'001, 0, {}});
  CHECK(beyond.status().code() == absl::StatusCode::kOutOfRange);
}

TEMPLATE_TEST_CASE("an empty blob is a blob", "", BLOB_STORES) {
  TestType harness;
  auto writer = harness.store().CreateBlob({});
  REQUIRE(writer.ok());
  const auto blob = (*writer)->Finish({0, Sha256Of({})});
  REQUIRE(blob.ok());
  CHECK(ReadAll(harness.store(), blob->location).value().empty());
}

TEMPLATE_TEST_CASE("an interrupted blob continues where it was, also after a crash", "",
                   BLOB_STORES) {
  TestType harness;
  const auto content = RandomContent(330'000, 2);
  const std::string key = harness.store().NewKey();
  CHECK(harness.store().CommittedBytes(key).value() == 0);
  size_t at = 0;
  for (const size_t size : {1u, 99'998u, 1u, 130'000u, 0u, 50'000u}) {
    {
      auto writer = harness.store().OpenPartial(key, content.size());
      REQUIRE(writer.ok());
      CHECK_FALSE((*writer)->complete());
      REQUIRE((*writer)->size_bytes() == at);
      REQUIRE((*writer)->committed_bytes() == at);
      REQUIRE((*writer)->sha256() == Sha256Of({content.data(), at}));
      REQUIRE((*writer)->Write({content.data() + at, size}).ok());
      CHECK(harness.store().CommittedBytes(key).value() == (*writer)->committed_bytes());
    }
    at += size;
    CHECK(harness.store().CommittedBytes(key).value() == at);
    harness.Reopen();
    CHECK(harness.store().CommittedBytes(key).value() == at);
  }
  auto writer = harness.store().OpenPartial(key, content.size());
  REQUIRE(writer.ok());
  REQUIRE((*writer)->Write({content.data() + at, content.size() - at}).ok());
  const auto blob = (*writer)->Finish({content.size(), Sha256Of(content)});
  REQUIRE(blob.ok());
  CHECK(ReadAll(harness.store(), blob->location).value() == content);
}

TEMPLATE_TEST_CASE("a blob finished before the crash is found complete by the next writer", "",
                   BLOB_STORES) {
  TestType harness;
  const auto content = RandomContent(150'000, 3);
  const std::string key = harness.store().NewKey();
  {
    auto writer = harness.store().OpenPartial(key, {});
    REQUIRE((*writer)->Write(content).ok());
    REQUIRE((*writer)->Finish({}).ok());
  }
  harness.Reopen();
  CHECK(harness.store().CommittedBytes(key).value() == content.size());
  auto writer = harness.store().OpenPartial(key, content.size());
  REQUIRE(writer.ok());
  CHECK((*writer)->complete());
  CHECK((*writer)->size_bytes() == content.size());
  CHECK(ReasonOf((*writer)->Write(content)) == "BLOB_COMPLETE");
  CHECK(ReasonOf((*writer)->Finish({content.size() + 1, {}})) == "SIZE_MISMATCH");
  const auto blob = (*writer)->Finish({content.size(), Sha256Of(content)});
  REQUIRE(blob.ok());
  CHECK(blob->sha256 == Sha256Of(content));
  CHECK(ReadAll(harness.store(), blob->location).value() == content);
}

TEMPLATE_TEST_CASE("what does not fit its size or checksum is gone", "", BLOB_STORES) {
  TestType harness;
  BlobStore& store = harness.store();
  const auto content = RandomContent(150'000, 4);
  const std::string key = store.NewKey();
  for (const BlobExpectation& expectation :
       {BlobExpectation{149'999, {}}, BlobExpectation{{}, Sha256Of({})}}) {
    auto writer = store.OpenPartial(key, {});
    REQUIRE(writer.ok());
    CHECK((*writer)->size_bytes() == 0);
    REQUIRE((*writer)->Write(content).ok());
    const auto blob = (*writer)->Finish(expectation);
    CHECK(blob.status().code() == absl::StatusCode::kDataLoss);
    CHECK(ReasonOf(blob) ==
          (expectation.size_bytes.has_value() ? "SIZE_MISMATCH" : "CHECKSUM_MISMATCH"));
    writer->reset();
    CHECK(store.CommittedBytes(key).value() == 0);
    CHECK(CountEntries(store) == 0);
  }
}

TEMPLATE_TEST_CASE("one writer for one key", "", BLOB_STORES) {
  TestType harness;
  BlobStore& store = harness.store();
  const std::string key = store.NewKey();
  auto first = store.OpenPartial(key, {});
  REQUIRE(first.ok());
  const auto second = store.OpenPartial(key, {});
  CHECK(second.status().code() == absl::StatusCode::kAborted);
  CHECK(store.DeleteKey(key, [] { return absl::OkStatus(); }).code() == absl::StatusCode::kAborted);
  REQUIRE((*first)->Finish({}).ok());
  CHECK(store.OpenPartial(key, {}).status().code() == absl::StatusCode::kAborted);
  first->reset();
  CHECK(store.OpenPartial(key, {}).ok());
}

TEMPLATE_TEST_CASE("keys and locations from outside are no paths", "", BLOB_STORES) {
  TestType harness;
  BlobStore& store = harness.store();
  for (const std::string bad :
       {"", "..", "../../etc/passwd", "0123456789abcdef0123456789abcde/",
        "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcdef0"}) {
    INFO(bad);
    CHECK(store.OpenPartial(bad, {}).status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(store.CommittedBytes(bad).status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(store.OpenRead("blob:" + bad, {}).status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(store.Delete("blob:" + bad).code() == absl::StatusCode::kInvalidArgument);
  }
  const std::string key = store.NewKey();
  for (const std::string bad :
       {"@", "@1", "@1.", "@.0", "@1.0.0", "@1.1", "@01.0", "@1.01000", "@../x.0", "@1.0/", "@g.0",
        "@-1.0", "@1.ffffffffffffffff", "@1000000000000000.0", "@A.0"}) {
    INFO(bad);
    CHECK(store.OpenRead("blob:" + key + bad, {}).status().code() ==
          absl::StatusCode::kInvalidArgument);
    CHECK(store.Delete("blob:" + key + bad).code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK(ReasonOf(store.OpenRead("blob:" + key + "@7.1000", {})) == "BLOB_DAMAGED");
  CHECK(store.Delete("blob:" + key + "@7.1000").ok());
  CHECK(store.OpenRead("file:///etc/passwd", {}).status().code() ==
        absl::StatusCode::kInvalidArgument);
}

TEMPLATE_TEST_CASE("a damaged or missing blob is never served as whole", "", BLOB_STORES) {
  TestType harness;
  BlobStore& store = harness.store();
  const auto content = RandomContent(100'000, 5);
  auto writer = store.CreateBlob(content.size());
  REQUIRE((*writer)->Write(content).ok());
  const auto blob = (*writer)->Finish({});
  writer->reset();
  auto reader = store.OpenRead(blob->location, {0, 0, content.size()});
  REQUIRE(reader.ok());
  harness.Damage(blob->location);
  // Who has begun may have the bytes already.
  std::vector<uint8_t> buffer(content.size());
  const auto read = reader->source->Read(buffer);
  CHECK((read.ok() ? *read == content.size() && buffer == content
                   : ReasonOf(read) == "BLOB_DAMAGED"));
  const auto damaged = store.OpenRead(blob->location, {0, 0, content.size()});
  CHECK(damaged.status().code() == absl::StatusCode::kDataLoss);
  REQUIRE(store.Delete(blob->location).ok());
  CHECK(ReasonOf(store.OpenRead(blob->location, {})) == "BLOB_DAMAGED");
  CHECK(store.Delete(blob->location).ok());
}

TEMPLATE_TEST_CASE("a blob deleted while it is read can be read to its end", "", BLOB_STORES) {
  TestType harness;
  const auto content = RandomContent(100'000, 6);
  auto writer = harness.store().CreateBlob({});
  REQUIRE((*writer)->Write(content).ok());
  const auto blob = (*writer)->Finish({});
  auto reader = harness.store().OpenRead(blob->location, {});
  REQUIRE(reader.ok());
  REQUIRE(harness.store().Delete(blob->location).ok());
  std::vector<uint8_t> buffer(content.size());
  CHECK(reader->source->Read(buffer).value() == content.size());
  CHECK(buffer == content);
  CHECK(reader->source->Read(buffer).value() == 0);
}

TEMPLATE_TEST_CASE("the sweep sees what is there", "", BLOB_STORES) {
  TestType harness;
  BlobStore& store = harness.store();
  const auto content = RandomContent(1000, 7);
  const std::string finished_key = store.NewKey();
  std::string location;
  {
    auto writer = store.OpenPartial(finished_key, {});
    REQUIRE((*writer)->Write(content).ok());
    location = (*writer)->Finish({}).value().location;
  }
  const std::string partial_key = store.NewKey();
  {
    auto writer = store.OpenPartial(partial_key, {});
    REQUIRE((*writer)->Write(content).ok());
  }
  // Nobody continues these.
  {
    auto writer = store.CreateBlob({});
    REQUIRE((*writer)->Write(content).ok());
  }
  std::set<std::pair<std::string, bool>> seen;
  REQUIRE(store
              .ForEach([&](const BlobEntry& entry) {
                CHECK(entry.size_bytes == content.size());
                CHECK(entry.location == (entry.partial ? "" : location));
                CHECK(seen.emplace(entry.key, entry.partial).second);
                return absl::OkStatus();
              })
              .ok());
  CHECK(seen == std::set<std::pair<std::string, bool>>{{finished_key, false}, {partial_key, true}});
  CHECK(store.Find(finished_key).value()->size_bytes == content.size());
  CHECK_FALSE(store.Find(finished_key).value()->partial);
  CHECK(store.Find(partial_key).value()->partial);
  CHECK_FALSE(store.Find(store.NewKey()).value().has_value());
  CHECK(store.Find("..").status().code() == absl::StatusCode::kInvalidArgument);
  const auto refused = [] { return absl::NotFoundError("no"); };
  CHECK(absl::IsNotFound(store.DeleteKey(partial_key, refused)));
  CHECK(store.CommittedBytes(partial_key).value() == content.size());
  for (const auto& [key, partial] : seen) {
    REQUIRE(store.DeleteKey(key, [] { return absl::OkStatus(); }).ok());
  }
  REQUIRE(store.ForEach([](const BlobEntry&) { return absl::InternalError("left over"); }).ok());
}

TEMPLATE_TEST_CASE("an entry that nobody needs is deleted, one that is written is not", "",
                   BLOB_STORES) {
  TestType harness;
  BlobStore& store = harness.store();
  const auto content = RandomContent(50'000, 13);
  std::vector<std::string> locations;
  for (int i = 0; i < 30; ++i) {
    auto writer = store.CreateBlob({});
    REQUIRE((*writer)->Write(content).ok());
    locations.push_back((*writer)->Finish({}).value().location);
  }
  auto open = store.OpenPartial(store.NewKey(), {});
  REQUIRE((*open)->Write(content).ok());
  const std::string open_location = (*open)->Finish({}).value().location;
  const std::string kept = locations[17];
  REQUIRE(store
              .ForEach([&](const BlobEntry& entry) {
                const absl::Status status = store.DeleteEntry(entry, [&] {
                  return entry.location == kept ? absl::NotFoundError("kept") : absl::OkStatus();
                });
                CHECK(status.code() == (entry.location == kept ? absl::StatusCode::kNotFound
                                        : entry.location == open_location
                                            ? absl::StatusCode::kAborted
                                            : absl::StatusCode::kOk));
                return absl::OkStatus();
              })
              .ok());
  CHECK(CountEntries(store) == 2);
  CHECK(ReadAll(store, kept).value() == content);
  CHECK(ReadAll(store, open_location).value() == content);
  CHECK(ReasonOf(store.OpenRead(locations[16], {})) == "BLOB_DAMAGED");
  open->reset();
  harness.Reopen();
  CHECK(ReadAll(harness.store(), kept).value() == content);
  CHECK(harness.store().Delete(kept).ok());
  CHECK(harness.store().Delete(open_location).ok());
  CHECK(CountEntries(harness.store()) == 0);
}

TEMPLATE_TEST_CASE("synced bytes are committed, and the store syncs by itself", "", BLOB_STORES) {
  TestType harness;
  BlobStore& store = harness.store();
  const auto content = RandomContent(300'000, 8);
  const std::string key = store.NewKey();
  auto writer = store.OpenPartial(key, {});
  REQUIRE(writer.ok());
  REQUIRE((*writer)->Write({content.data(), 10}).ok());
  REQUIRE((*writer)->Sync().ok());
  CHECK((*writer)->committed_bytes() == 10);
  CHECK(store.CommittedBytes(key).value() == 10);
  REQUIRE((*writer)->Sync().ok());
  uint64_t committed = 10;
  for (size_t at = 10; at < content.size(); at += 29'999) {
    const size_t size = std::min<size_t>(29'999, content.size() - at);
    REQUIRE((*writer)->Write({content.data() + at, size}).ok());
    CHECK((*writer)->committed_bytes() >= committed);
    CHECK((*writer)->committed_bytes() <= at + size);
    committed = (*writer)->committed_bytes();
  }
  CHECK(committed > 10);
  REQUIRE((*writer)->Finish({}).ok());
  CHECK((*writer)->committed_bytes() == content.size());
  CHECK(store.CommittedBytes(key).value() == content.size());
}

TEMPLATE_TEST_CASE("a discarded blob is gone, finished or not", "", BLOB_STORES) {
  TestType harness;
  BlobStore& store = harness.store();
  const auto content = RandomContent(150'000, 9);
  const std::string key = store.NewKey();
  for (const bool finish : {false, true}) {
    INFO(finish);
    auto writer = store.OpenPartial(key, {});
    REQUIRE(writer.ok());
    CHECK((*writer)->size_bytes() == 0);
    REQUIRE((*writer)->Write(content).ok());
    if (finish) {
      REQUIRE((*writer)->Finish({}).ok());
    }
    REQUIRE((*writer)->Discard().ok());
    CHECK_FALSE((*writer)->Write(content).ok());
    CHECK_FALSE((*writer)->Finish({}).ok());
    writer->reset();
    CHECK(store.CommittedBytes(key).value() == 0);
    CHECK(CountEntries(store) == 0);
  }
}

TEMPLATE_TEST_CASE("finishing a blob that does not fit gives the same answer again", "",
                   BLOB_STORES) {
  TestType harness;
  auto writer = harness.store().OpenPartial(harness.store().NewKey(), {});
  REQUIRE((*writer)->Write(RandomContent(10, 10)).ok());
  const BlobExpectation expectation{11, {}};
  const absl::Status first = (*writer)->Finish(expectation).status();
  CHECK(ReasonOf(first) == "SIZE_MISMATCH");
  CHECK(DetailOf(first, "expected") == "11");
  CHECK(DetailOf(first, "actual") == "10");
  CHECK((*writer)->Finish(expectation).status() == first);
}

TEMPLATE_TEST_CASE("a blob that the disk cannot hold is refused before its first byte", "",
                   BLOB_STORES) {
  TestType harness;
  BlobStore& store = harness.store();
  constexpr uint64_t kTooMuch = uint64_t{1} << 62;
  CHECK(store.CheckSpace(1).ok());
  const absl::Status refused = store.CheckSpace(kTooMuch);
  CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
  CHECK(ReasonOf(refused) == "DISK_FULL");
  CHECK(DetailOf(refused, "actual") == std::to_string(kTooMuch));
  const std::string key = store.NewKey();
  for (const uint64_t bytes : {kTooMuch, UINT64_MAX}) {
    CHECK(ReasonOf(store.OpenPartial(key, bytes)) == "DISK_FULL");
    CHECK(ReasonOf(store.CreateBlob(bytes)) == "DISK_FULL");
  }
  CHECK(CountEntries(store) == 0);
  // What is there already stays.
  {
    auto writer = store.OpenPartial(key, {});
    REQUIRE((*writer)->Write(RandomContent(10, 11)).ok());
  }
  CHECK(ReasonOf(store.OpenPartial(key, kTooMuch)) == "DISK_FULL");
  CHECK(store.CommittedBytes(key).value() == 10);
  CHECK(store.OpenPartial(key, {}).ok());
}

TEMPLATE_TEST_CASE("while a key is deleted nobody can begin to write it", "", BLOB_STORES) {
  TestType harness;
  BlobStore& store = harness.store();
  const std::string key = store.NewKey();
  {
    auto writer = store.OpenPartial(key, {});
    REQUIRE((*writer)->Write(RandomContent(150'000, 12)).ok());
  }
  REQUIRE(store
              .DeleteKey(key,
                         [&] {
                           CHECK(ReasonOf(store.OpenPartial(key, {})) == "UPLOAD_BUSY");
                           return absl::OkStatus();
                         })
              .ok());
  CHECK(store.CommittedBytes(key).value() == 0);
  CHECK(store.DeleteKey(key, [] { return absl::OkStatus(); }).ok());
  CHECK(store.OpenPartial(key, {}).ok());
}

TEMPLATE_TEST_CASE("keys are new and of one form", "", BLOB_STORES) {
  TestType harness;
  std::set<std::string> keys;
  for (int i = 0; i < 1000; ++i) {
    const std::string key = harness.store().NewKey();
    CHECK(key.size() == 32);
    CHECK(key.find_first_not_of("0123456789abcdef") == std::string::npos);
    CHECK(keys.insert(key).second);
  }
}

TEMPLATE_TEST_CASE("many blobs are written and read at the same time", "", BLOB_STORES) {
  TestType harness;
  BlobStore& store = harness.store();
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (uint32_t t = 0; t < 6; ++t) {
    threads.emplace_back([&store, &good, t] {
      for (uint32_t i = 0; i < 10; ++i) {
        const auto content = RandomContent(10'000 + 20'000 * i, 100 * t + i);
        auto writer = store.CreateBlob(content.size());
        if (!writer.ok() || !(*writer)->Write(content).ok()) return;
        const auto blob = (*writer)->Finish({content.size(), Sha256Of(content)});
        if (!blob.ok()) return;
        const auto read = ReadAll(store, blob->location);
        if (read.ok() && *read == content) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 60);
}

}  // namespace
}  // namespace histeq::store::testing
