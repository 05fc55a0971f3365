#pragma once

// A catalog and a blob store whose disk a test fills, for sessions without gRPC.

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "../../conformance/store_support.h"
#include "store/file_blob_store.h"
#include "store/sqlite_catalog.h"
#include "upload_session.h"

namespace histeq::frontend {

using store::testing::ReasonOf;

// The machine's clock, moved by a test.
class ShiftedClock final : public base::Clock {
 public:
  absl::Time Now() const override {
    std::lock_guard lock(mutex_);
    return base::SystemClock().Now() + shift_;
  }
  absl::Duration Monotonic() const override {
    std::lock_guard lock(mutex_);
    return base::SystemClock().Monotonic() + shift_;
  }
  void Advance(absl::Duration by) {
    std::lock_guard lock(mutex_);
    shift_ += by;
  }

 private:
  mutable std::mutex mutex_;
  absl::Duration shift_;
};

inline std::vector<uint8_t> TestBytes(const std::string& name) {
  std::ifstream file(std::string(std::getenv("HISTEQ_TEST_DATA")) + "/" + name, std::ios::binary);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

struct SessionHarness {
  explicit SessionHarness(uint64_t max_catalog_bytes = 0) {
    store::FileBlobStoreOptions blob_options;
    blob_options.reserve_bytes = 0;
    // These tests count files.
    blob_options.max_packed_bytes = 0;
    blob_options.fault = [this](store::FileCall call) { return fault ? fault(call) : 0; };
    auto opened_blobs = store::OpenFileBlobStore(folder.path() + "/blobs", blob_options);
    REQUIRE(opened_blobs.ok());
    blobs = *std::move(opened_blobs);
    store::SqliteCatalogOptions options;
    options.clock = &clock;
    options.max_file_bytes = max_catalog_bytes;
    auto opened = store::OpenSqliteCatalog(folder.path() + "/catalog.sqlite", options);
    REQUIRE(opened.ok());
    catalog = *std::move(opened);
  }

  absl::StatusOr<std::unique_ptr<UploadSession>> BeginUpload(const store::UploadHeader& header) {
    return UploadSession::Begin(*catalog, *blobs, clock, header, UploadLimits(), nullptr);
  }

  // Of blobs, whole, partial, and what belongs to them.
  std::set<std::string> Files() const {
    std::set<std::string> files;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(folder.path() + "/blobs")) {
      if (entry.is_regular_file()) files.insert(entry.path().filename().string());
    }
    return files;
  }

  store::testing::TempFolder folder;
  ShiftedClock clock;
  // An errno other than 0 fails the call.
  std::function<int(store::FileCall)> fault;
  std::unique_ptr<store::BlobStore> blobs;
  std::unique_ptr<store::Catalog> catalog;
};

}  // namespace histeq::frontend
