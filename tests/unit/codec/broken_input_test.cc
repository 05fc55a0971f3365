// Files that are damaged: each ends with a clear error, or with a picture; nothing crashes or
// stays.

#include <zlib.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/error.h"
#include "codec_run.h"
#include "jpeg_writer.h"
#include "memory_stream.h"
#include "png_writer.h"

namespace histeq::codec {
namespace {

const std::string kTruncated = "INVALID_ARGUMENT IMAGE_TRUNCATED";
const std::string kCorrupt = "INVALID_ARGUMENT IMAGE_CORRUPT";
const std::string kUnsupported = "INVALID_ARGUMENT UNSUPPORTED_FORMAT";

const std::set<std::string> kReasons = {kTruncated,
                                        kCorrupt,
                                        kUnsupported,
                                        "INVALID_ARGUMENT NOT_AN_IMAGE",
                                        "INVALID_ARGUMENT IMAGE_TOO_LARGE",
                                        "INVALID_ARGUMENT METADATA_TOO_LARGE",
                                        "INVALID_ARGUMENT TOO_MANY_SCANS"};

// Through probe, decoder, encoder and stitcher.
std::string Run(std::span<const uint8_t> file, SampleMode mode = SampleMode::kRawPlanes) {
  base::MemoryBudget budget(64 << 20);
  const DecodeOptions options{
      .limits = {.max_pixels = 1 << 20, .max_jpeg_scans = 50, .max_metadata_bytes = 1 << 20},
      .mode = mode,
      .budget = &budget};
  MemorySource source(file);
  const auto info = ProbeImage(source, options.limits);
  const auto decoded = DecodeAll(file, options, 1);
  CHECK(budget.used_bytes() == 0);
  if (!info.ok()) {
    CHECK(Reason(decoded.status()) == Reason(info.status()));
  }
  if (!decoded.ok()) {
    CHECK_FALSE(decoded.status().message().empty());
    CHECK(kReasons.contains(Reason(decoded.status())));
    return Reason(decoded.status());
  }
  const auto stitched = EncodeAll(*decoded);
  CHECK(Reason(stitched.status()) == "OK");
  return "OK";
}

std::vector<std::vector<uint8_t>> Jpegs() {
  return {WriteJpeg({.width = 61, .height = 150}),
          WriteJpeg({.width = 61,
                     .height = 50,
                     .space = JCS_GRAYSCALE,
                     .sampling = {{1, 1}},
                     .restart_rows = 1}),
          WriteJpeg({.width = 61, .height = 150, .progressive = true, .restart_rows = 1}),
          WriteJpeg({.width = 61, .height = 50, .separate_scans = true}),
          WriteJpeg({.width = 30,
                     .height = 50,
                     .space = JCS_CMYK,
                     .sampling = {{1, 1}, {1, 1}, {1, 1}, {1, 1}},
                     .jfif = false,
                     .adobe = true,
                     .markers = {{0xE1, {1, 2, 3}}}})};
}

std::vector<std::vector<uint8_t>> Pngs() {
  return {
      WritePng({.width = 61, .height = 50}),
      WritePng({.width = 61, .height = 50, .color_type = 0, .bit_depth = 1}),
      WritePng({.width = 61, .height = 50, .color_type = 6, .bit_depth = 16}),
      WritePng(
          {.width = 61, .height = 50, .color_type = 3, .interlaced = true, .transparent = true}),
      WithChunk(WritePng({.width = 30, .height = 20, .color_type = 0, .interlaced = true}),
                {"tEXt", {'k', 0, 't'}})};
}

TEST_CASE("whole files run") {
  for (const auto& file : Jpegs()) CHECK(Run(file) == "OK");
  for (const auto& file : Pngs()) CHECK(Run(file) == "OK");
}

TEST_CASE("a file that is cut off anywhere is truncated") {
  for (const auto& files : {Jpegs(), Pngs()})
    for (const auto& file : files) {
      std::set<size_t> cuts;
      for (size_t i = 1; i < 16; ++i) cuts.insert(file.size() * i / 16);
      for (size_t i = 1; i < std::min<size_t>(file.size(), 700); i += i < 100 ? 1 : 7)
        cuts.insert(i);
      for (size_t i = 1; i < 20; ++i) cuts.insert(file.size() - i);
      for (const size_t cut : cuts) {
        CAPTURE(cut, file.size());
        CHECK(Run(std::span(file).first(cut)) == kTruncated);
      }
      CHECK(Run(std::span(file).first(0)) == "INVALID_ARGUMENT NOT_AN_IMAGE");
    }
}

std::vector<uint8_t> Damaged(std::vector<uint8_t> file, uint32_t seed, size_t from) {
  uint32_t state = seed * 2654435761u + 1;
  auto next = [&] { return state = state * 1664525 + 1013904223, state >> 8; };
  for (uint32_t i = 0, count = 1 + next() % 8; i < count; ++i)
    file[from + next() % (file.size() - from)] ^= static_cast<uint8_t>(1 + next() % 255);
  return file;
}

TEST_CASE("a JPEG with wrong bytes gives an error or a picture") {
  int failed = 0, runs = 0;
  for (const auto& file : Jpegs())
    for (uint32_t seed = 0; seed < 300; ++seed) {
      CAPTURE(seed, file.size());
      // Everywhere, and in the data alone.
      for (const size_t from : {size_t{3}, file.size() / 2}) {
        for (const SampleMode mode : {SampleMode::kRawPlanes, SampleMode::kInterleaved}) {
          failed += Run(Damaged(file, seed, from), mode) != "OK";
          ++runs;
        }
      }
    }
  // Most damage is seen.
  CHECK(failed > runs / 4);
}

TEST_CASE("a PNG with wrong bytes gives an error") {
  for (const auto& file : Pngs())
    for (uint32_t seed = 0; seed < 300; ++seed) {
      CAPTURE(seed, file.size());
      CHECK(Run(Damaged(file, seed, 8)) != "OK");
    }
}

// Changes chunks, with right checksums again.
std::string RunEdited(const std::function<void(std::vector<reference::PngChunk>&)>& edit,
                      const PngKind& kind = {}) {
  auto chunks = reference::SplitPng(WritePng(kind));
  edit(chunks);
  return Run(reference::JoinPng(chunks));
}

std::vector<uint8_t> Deflated(const std::vector<uint8_t>& raw) {
  std::vector<uint8_t> out(compressBound(raw.size()));
  uLongf size = out.size();
  compress(out.data(), &size, raw.data(), raw.size());
  out.resize(size);
  return out;
}

TEST_CASE("wrong checksums of chunks") {
  const auto file = WithChunk(WithChunk(WritePng({.color_type = 3}), {"tEXt", {'k', 0, 't'}}),
                              {"abCd", {1, 2, 3}});
  size_t at = 8;
  for (const auto& chunk : reference::SplitPng(file)) {
    CAPTURE(chunk.type);
    auto damaged = file;
    damaged[at + 8 + chunk.data.size()] ^= 0x10;
    CHECK(Run(damaged) == kCorrupt);
    at += 12 + chunk.data.size();
  }
}

TEST_CASE("wrong zlib streams") {
  for (const bool interlaced : {false, true}) {
    const PngKind kind{.interlaced = interlaced};
    auto data = [](std::vector<reference::PngChunk>& chunks) -> std::vector<uint8_t>& {
      return std::find_if(chunks.begin(), chunks.end(), [](auto& c) { return c.type == "IDAT"; })
          ->data;
    };
    CHECK(RunEdited([&](auto& c) { data(c)[0] = 0x79; }, kind) == kCorrupt);
    CHECK(RunEdited([&](auto& c) { data(c)[2] = 0xFF; }, kind) == kCorrupt);
    // The Adler-32.
    CHECK(RunEdited([&](auto& c) { data(c).back() ^= 1; }, kind) == kCorrupt);
    CHECK(RunEdited([&](auto& c) { data(c).pop_back(); }, kind) == kCorrupt);
    CHECK(RunEdited([&](auto& c) { data(c).resize(data(c).size() / 2); }, kind) == kCorrupt);
    CHECK(RunEdited([&](auto& c) { data(c).clear(); }, kind) == kCorrupt);
    CHECK(RunEdited([&](auto& c) { data(c).push_back(0); }, kind) == kCorrupt);
    // A chunk of its own behind the end of the stream is passed over.
    CHECK(RunEdited([&](auto& c) { c.insert(c.end() - 1, {"IDAT", {1, 2, 3}}); }, kind) == "OK");
    CHECK(RunEdited([&](auto& c) { c.insert(c.end() - 1, {"IDAT", {}}); }, kind) == "OK");
  }
  const size_t row = 17 * 3 + 1;
  auto with_rows = [&](size_t bytes, uint8_t filter = 0) {
    std::vector<uint8_t> raw(bytes);
    for (size_t i = 0; i < bytes; i += row) raw[i] = filter;
    return RunEdited([&](auto& c) { c[1].data = Deflated(raw); });
  };
  CHECK(with_rows(row * 33) == "OK");
  CHECK(with_rows(row * 32) == kCorrupt);
  CHECK(with_rows(row * 33 - 1) == kCorrupt);
  CHECK(with_rows(row * 33 + 1) == kCorrupt);
  // A decompression bomb: a thousand times what the header says.
  CHECK(with_rows(row * 33 * 10'000) == kCorrupt);
  CHECK(with_rows(row * 33, 5) == kCorrupt);
  // Data in single bytes is fine.
  CHECK(RunEdited([](auto& c) {
          const auto all = c[1].data;
          c.erase(c.begin() + 1);
          for (size_t i = 0; i < all.size(); ++i)
            c.insert(c.begin() + 1 + static_cast<ptrdiff_t>(i), {"IDAT", {all[i]}});
        }) == "OK");
}

TEST_CASE("chunks that are wrong, missing or out of place") {
  auto header = [](size_t at, uint8_t value, const PngKind& kind = {}) {
    return RunEdited([&](auto& c) { c[0].data[at] = value; }, kind);
  };
  CHECK(header(8, 3) == kCorrupt);
  CHECK(header(8, 32) == kCorrupt);
  CHECK(header(9, 5) == kCorrupt);
  CHECK(header(9, 3) == kCorrupt);
  CHECK(header(10, 1) == kCorrupt);
  CHECK(header(11, 1) == kCorrupt);
  CHECK(header(12, 2) == kCorrupt);
  CHECK(RunEdited([](auto& c) { c[0].data.pop_back(); }) == kCorrupt);
  CHECK(RunEdited([](auto& c) { c.erase(c.begin()); }) == kCorrupt);
  CHECK(RunEdited([](auto& c) { c.insert(c.begin() + 1, c[0]); }) == kCorrupt);
  CHECK(RunEdited([](auto& c) { c.erase(c.begin() + 1); }) == kCorrupt);
  CHECK(RunEdited([](auto& c) { c.pop_back(); }) == kTruncated);
  CHECK(RunEdited([](auto& c) { c.back().data = {1}; }) == kCorrupt);
  CHECK(RunEdited([](auto& c) { c.insert(c.begin() + 1, {"ABCD", {1}}); }) == kUnsupported);
  CHECK(RunEdited([](auto& c) { c.insert(c.begin() + 1, {"ab1d", {1}}); }) == kCorrupt);
  CHECK(RunEdited([](auto& c) {
          c.insert(c.begin() + 2, {{"tEXt", {'k', 0}}, c[1]});
        }) == kCorrupt);
  const PngKind indexed{.color_type = 3};
  CHECK(RunEdited([](auto& c) { c.erase(c.begin() + 1); }, indexed) == kCorrupt);
  CHECK(RunEdited([](auto& c) { c[1].data.pop_back(); }, indexed) == kCorrupt);
  CHECK(RunEdited([](auto& c) { c[1].data.clear(); }, indexed) == kCorrupt);
  CHECK(RunEdited([](auto& c) { c[1].data.resize(3 * 257); }, indexed) == kCorrupt);
  CHECK(RunEdited([](auto& c) { c.insert(c.begin() + 2, {"tRNS", {}}); }, indexed) == kCorrupt);
  CHECK(RunEdited(
            [](auto& c) {
              c.insert(c.begin() + 2, {"tRNS", std::vector<uint8_t>(257)});
            },
            indexed) == kCorrupt);
  CHECK(RunEdited([](auto& c) { c.insert(c.begin() + 1, {"tRNS", {1}}); }) == kCorrupt);
  // What stands behind the end does not matter.
  auto longer = WritePng({});
  longer.insert(longer.end(), 1000, 'x');
  CHECK(Run(longer) == "OK");
}

size_t Find(const std::vector<uint8_t>& file, uint8_t marker, size_t from = 2) {
  for (size_t i = from; i + 1 < file.size(); ++i)
    if (file[i] == 0xFF && file[i + 1] == marker) return i;
  FAIL("no such marker");
  return 0;
}

std::vector<uint8_t> Without(std::vector<uint8_t> file, uint8_t marker) {
  const size_t at = Find(file, marker);
  const size_t length = size_t{file[at + 2]} << 8 | file[at + 3];
  file.erase(file.begin() + static_cast<ptrdiff_t>(at),
             file.begin() + static_cast<ptrdiff_t>(at + 2 + length));
  return file;
}

TEST_CASE("JPEGs that lack something") {
  const JpegKind kind{.width = 61, .height = 50, .restart_rows = 1};
  const auto file = WriteJpeg(kind);
  CHECK(Run(std::vector<uint8_t>{0xFF, 0xD8, 0xFF, 0xD9}) == kCorrupt);
  CHECK(Run(Without(file, 0xDB)) == kCorrupt);
  CHECK(Run(Without(file, 0xC0)) == kCorrupt);
  CHECK(Run(Without(file, 0xDA)) != "OK");
  // Without Huffman tables the standard ones hold, as in frames of Motion JPEG.
  CHECK(Run(Without(Without(Without(Without(file, 0xC4), 0xC4), 0xC4), 0xC4)) == "OK");
  // Restart markers in a wrong order, and missing.
  auto order = file;
  order[Find(order, 0xD1) + 1] = 0xD5;
  CHECK(Run(order) == kCorrupt);
  auto missing = file;
  const auto at = static_cast<ptrdiff_t>(Find(missing, 0xD1));
  missing.erase(missing.begin() + at, missing.begin() + at + 2);
  CHECK(Run(missing) == kCorrupt);
  // The end too early.
  auto early = file;
  early[Find(early, 0xD1) + 1] = 0xD9;
  CHECK(Run(early) == kCorrupt);
  // Bytes behind the end, as cameras write them.
  auto longer = file;
  longer.insert(longer.end(), 1000, 0xFF);
  CHECK(Run(longer) == "OK");
  auto twice = file;
  twice.insert(twice.begin() + 2, {0xFF, 0xD8});
  CHECK(Run(twice) == kCorrupt);
}

TEST_CASE("a component whose scans are missing is not made gray") {
  CHECK(Run(WriteJpeg({.first_scan_only = true})) == kCorrupt);
  // Progressive: the first scan has DC of all, so only what is there counts.
  auto file = WriteJpeg({.width = 61, .height = 50, .progressive = true});
  const size_t second = Find(file, 0xDA, Find(file, 0xDA) + 10);
  file.resize(second);
  file.insert(file.end(), {0xFF, 0xD9});
  CHECK(Run(file) == "OK");
}

TEST_CASE("too many scans") {
  const auto file = WriteJpeg({.progressive = true});
  auto with_limit = [&](uint32_t scans) {
    return Reason(DecodeAll(file, {.limits = {.max_jpeg_scans = scans}}).status());
  };
  CHECK(with_limit(5) == "INVALID_ARGUMENT TOO_MANY_SCANS");
  CHECK(with_limit(9) == "INVALID_ARGUMENT TOO_MANY_SCANS");
  CHECK(with_limit(10) == "OK");
  const auto detail =
      base::GetErrorDetail(DecodeAll(file, {.limits = {.max_jpeg_scans = 5}}).status());
  REQUIRE(detail.has_value());
  CHECK(detail->metadata == std::map<std::string, std::string>{{"limit", "5"}, {"actual", "6"}});
}

}  // namespace
}  // namespace histeq::codec
