#include "store/sweep.h"

#include <catch2/catch.hpp>
#include <string>

#include "../../conformance/store_harness.h"
#include "../../conformance/store_support.h"

namespace histeq::store::testing {
namespace {

// A blob of 100 bytes under `key`; partial, or finished, and then its location.
std::string PutBlob(BlobStore& store, const std::string& key, bool finish) {
  auto writer = store.OpenPartial(key, {});
  REQUIRE(writer.ok());
  REQUIRE((*writer)->Write(RandomContent(100, 1)).ok());
  return finish ? (*writer)->Finish({}).value().location : std::string();
}

TEMPLATE_TEST_CASE("the sweep at start deletes what nobody refers to, and nothing else", "",
                   FileBlobHarness, PackedBlobHarness) {
  SqliteHarness catalogs;
  TestType blobs;
  Catalog& catalog = catalogs.catalog();
  BlobStore& store = blobs.store();
  // An upload in the middle, one finished but not registered, and an image.
  const std::string partial = store.NewKey();
  const std::string unregistered = store.NewKey();
  const std::string image = store.NewKey();
  REQUIRE(catalog.BeginUpload(MakeHeader("partial"), partial).ok());
  REQUIRE(catalog.BeginUpload(MakeHeader("unregistered"), unregistered).ok());
  REQUIRE(catalog.BeginUpload(MakeHeader("image"), image).ok());
  PutBlob(store, partial, false);
  PutBlob(store, unregistered, true);
  const std::string location = PutBlob(store, image, true);
  REQUIRE(catalog.FinishUpload("image", MakeFacts(location)).ok());
  // A result that was never registered, a partial blob of nobody, bytes of a deleted image.
  PutBlob(store, store.NewKey(), true);
  PutBlob(store, store.NewKey(), false);
  const std::string deleted = store.NewKey();
  REQUIRE(catalog.BeginUpload(MakeHeader("deleted"), deleted).ok());
  const auto finished = catalog.FinishUpload("deleted", MakeFacts(PutBlob(store, deleted, true)));
  REQUIRE(catalog.DeleteImage(finished->image.id).ok());

  const auto report = SweepOrphans(catalog, store);
  REQUIRE(report.ok());
  CHECK(report->blobs_deleted == 2);
  CHECK(report->partials_deleted == 1);
  CHECK(report->bytes_freed == 300);
  CHECK(CountEntries(store) == 3);
  for (const std::string& key : {partial, unregistered, image}) {
    CHECK(store.CommittedBytes(key).value() == 100);
  }
  CHECK(SweepOrphans(catalog, store)->bytes_freed == 0);
}

TEMPLATE_TEST_CASE(
    "a partial blob that was seen, and is an image by the time it is looked at, stays", "",
    FileBlobHarness, PackedBlobHarness) {
  SqliteHarness catalogs;
  TestType blobs;
  Catalog& catalog = catalogs.catalog();
  BlobStore& store = blobs.store();
  const std::string key = store.NewKey();
  REQUIRE(catalog.BeginUpload(MakeHeader("upload"), key).ok());
  PutBlob(store, key, false);
  std::vector<BlobEntry> seen;
  REQUIRE(store
              .ForEach([&](const BlobEntry& entry) {
                seen.push_back(entry);
                return absl::OkStatus();
              })
              .ok());
  REQUIRE(seen.size() >= 1);
  auto writer = store.OpenPartial(key, {});
  REQUIRE(writer.ok());
  const std::string location = (*writer)->Finish({}).value().location;
  REQUIRE(catalog.FinishUpload("upload", MakeFacts(location)).ok());
  (*writer)->Registered();
  writer->reset();
  for (const BlobEntry& entry : seen) {
    CHECK(entry.partial);
    // Whatever is known of it.
    CHECK(store.DeleteEntry(entry, [] { return absl::OkStatus(); }).ok());
  }
  CHECK(store.OpenRead(location, {}).ok());
  CHECK(CountEntries(store) == 1);
}

TEMPLATE_TEST_CASE("the sweep leaves what is being written or was registered meanwhile", "",
                   FileBlobHarness, PackedBlobHarness) {
  SqliteHarness catalogs;
  TestType blobs;
  Catalog& catalog = catalogs.catalog();
  BlobStore& store = blobs.store();
  const auto content = RandomContent(100, 2);
  auto writing = store.CreateBlob({});
  REQUIRE((*writing)->Write(content).ok());
  auto finished = store.CreateBlob({});
  REQUIRE((*finished)->Write(content).ok());
  REQUIRE((*finished)->Finish({}).ok());
  PutBlob(store, store.NewKey(), true);
  const auto report = SweepOrphans(catalog, store);
  REQUIRE(report.status() == absl::OkStatus());
  CHECK(report->blobs_deleted == 1);
  CHECK(report->partials_deleted == 0);
  const auto written = (*writing)->Finish({});
  REQUIRE(written.ok());
  CHECK(ReadAll(store, written->location).value() == content);
  CHECK(CountEntries(store) == 2);
  const base::CancelSource stop;
  stop.Cancel(absl::CancelledError("stopped"));
  CHECK(absl::IsCancelled(SweepOrphans(catalog, store, stop.token()).status()));
}

TEMPLATE_TEST_CASE("abandoned uploads go with their bytes, unless somebody is sending", "",
                   FileBlobHarness, PackedBlobHarness) {
  SqliteHarness catalogs;
  TestType blobs;
  Catalog& catalog = catalogs.catalog();
  BlobStore& store = blobs.store();
  std::map<std::string, std::string> keys;
  for (const std::string id : {"old", "empty", "sending", "unregistered", "new"}) {
    keys[id] = store.NewKey();
    if (id == "new") catalogs.clock.Advance(absl::Hours(2));
    REQUIRE(catalog.BeginUpload(MakeHeader(id), keys[id]).ok());
    if (id != "empty" && id != "sending") PutBlob(store, keys[id], id == "unregistered");
  }
  auto writer = store.OpenPartial(keys["sending"], {});
  REQUIRE((*writer)->Write(RandomContent(100, 1)).ok());
  const absl::Time before = catalogs.clock.Now() - absl::Hours(1);
  // Whoever ends does not wait for the sweep.
  const base::CancelSource stop;
  stop.Cancel(absl::CancelledError("stopped"));
  CHECK(absl::IsCancelled(SweepAbandonedUploads(catalog, store, before, stop.token()).status()));
  CHECK(catalog.GetUpload("old").ok());
  const auto report = SweepAbandonedUploads(catalog, store, before);
  REQUIRE(report.ok());
  CHECK(report->uploads_forgotten == 3);
  CHECK(report->bytes_freed == 200);
  for (const std::string id : {"old", "empty", "unregistered"}) {
    CHECK(ReasonOf(catalog.GetUpload(id)) == "UPLOAD_NOT_FOUND");
    CHECK(store.CommittedBytes(keys[id]).value() == 0);
  }
  REQUIRE((*writer)->Write(RandomContent(100, 2)).ok());
  const auto sent = (*writer)->Finish({200, {}});
  REQUIRE(sent.ok());
  CHECK(catalog.FinishUpload("sending", MakeFacts(sent->location)).ok());
  writer->reset();
  CHECK(store.CommittedBytes(keys["new"]).value() == 100);
  CHECK(SweepAbandonedUploads(catalog, store, before)->uploads_forgotten == 0);
}

}  // namespace
}  // namespace histeq::store::testing
