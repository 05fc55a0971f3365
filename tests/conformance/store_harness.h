#pragma once

// The implementations that the suites run. A new one adds its harness to BLOB_STORES or CATALOGS.

#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "store/file_blob_store.h"
#include "store/sqlite_catalog.h"
#include "store_support.h"

namespace histeq::store::testing {

// Blobs of up to kMaxPackedBytes in packs, the rest in files.
template <uint64_t kMaxPackedBytes>
class BlobHarness {
 public:
  BlobHarness() { Reopen(); }
  BlobStore& store() { return *store_; }
  // As after a crash of the process: nothing in memory survives.
  void Reopen() {
    store_.reset();
    FileBlobStoreOptions options;
    options.sync_bytes = 100'000;
    options.reserve_bytes = 0;
    options.max_packed_bytes = kMaxPackedBytes;
    options.max_pack_bytes = 500'000;
    auto store = OpenFileBlobStore(folder_.path() + "/blobs", options);
    REQUIRE(store.ok());
    store_ = *std::move(store);
  }
  // Cuts the last byte off a finished blob, or off the pack of which it is the last.
  void Damage(const std::string& location) {
    if (const size_t at = location.find('@'); at != std::string::npos) {
      for (const auto& pack :
           std::filesystem::directory_iterator(folder_.path() + "/blobs/packs")) {
        std::filesystem::resize_file(pack.path(), std::filesystem::file_size(pack.path()) - 1);
      }
      return;
    }
    const std::string key = location.substr(5);
    const std::string file = folder_.path() + "/blobs/" + key.substr(0, 2) + "/" + key;
    std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  }

 private:
  TempFolder folder_;
  std::unique_ptr<BlobStore> store_;
};

using FileBlobHarness = BlobHarness<0>;
using PackedBlobHarness = BlobHarness<400'000>;
using MixedBlobHarness = BlobHarness<120'000>;

#define BLOB_STORES FileBlobHarness, PackedBlobHarness, MixedBlobHarness

class SqliteHarness {
 public:
  SqliteHarness() { Reopen(); }
  explicit SqliteHarness(const CatalogLimits& new_limits) : limits(new_limits) { Reopen(); }
  Catalog& catalog() { return *catalog_; }
  // As after a crash of the process, with what `limits` are now.
  void Reopen() {
    catalog_.reset();
    SqliteCatalogOptions options;
    options.limits = limits;
    options.clock = &clock;
    options.random = [this] { return random; };
    auto catalog = OpenSqliteCatalog(folder_.path() + "/catalog.sqlite", options);
    REQUIRE(catalog.ok());
    catalog_ = *std::move(catalog);
  }

  TestClock clock;
  CatalogLimits limits;
  // What the back-off's jitter is made from; 0.5: none.
  double random = 0.5;

 private:
  TempFolder folder_;
  std::unique_ptr<Catalog> catalog_;
};

#define CATALOGS SqliteHarness

}  // namespace histeq::store::testing
