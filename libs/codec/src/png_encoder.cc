#include <fmt/format.h>
#include <isa-l/igzip_lib.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "formats.h"
#include "png_chunk.h"
#include "png_filter.h"

namespace histeq::codec {
namespace {

// Rows are filtered and deflated in runs of about this size, which stay in the cache.
constexpr size_t kRunBytes = 256 * 1024;
// Data of an IDAT chunk, at most.
constexpr uint32_t kChunkBytes = 64 * 1024;
constexpr std::array<uint8_t, 2> kZlibHeader = {0x78, 0x01};
// Bytes of a fragment that are stored as they are, before the deflated ones.
constexpr size_t kStoredBytes = 16;
// An empty last block, with fixed codes.
constexpr std::array<uint8_t, 2> kLastBlock = {0x03, 0x00};

uint64_t RowBytes(const EncodeSpec& spec) {
  const auto& png = std::get<PngEncodeSpec>(spec.format);
  return uint64_t{spec.width} * png.channels * (png.bits_per_sample / 8);
}

// Deflates to whole bytes, without an end, so that the next fragment may follow, and puts them into
// IDAT chunks.
class Deflater {
 public:
  explicit Deflater(std::vector<uint8_t>& chunks)
      : chunks_(chunks),
        level_buffer_(std::make_unique_for_overwrite<uint8_t[]>(ISAL_DEF_LVL1_DEFAULT)),
        buffer_(std::make_unique_for_overwrite<uint8_t[]>(kChunkBytes)) {
    isal_deflate_init(&stream_);
    stream_.level = 1;
    stream_.level_buf = level_buffer_.get();
    stream_.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
    stream_.gzip_flag = IGZIP_DEFLATE;
    StartChunk();
  }

  absl::Status Deflate(std::span<uint8_t> bytes, bool last) {
    if (!std::exchange(begun_, true)) {
      const size_t stored = std::min(kStoredBytes, bytes.size());
      HISTEQ_RETURN_IF_ERROR(Store(bytes.first(stored)));
      bytes = bytes.subspan(stored);
    }
    stream_.next_in = bytes.data();
    stream_.avail_in = static_cast<uint32_t>(bytes.size());
    stream_.flush = last ? FULL_FLUSH : NO_FLUSH;
    bool full = false;
    do {
      if (const int result = isal_deflate(&stream_); result != COMP_OK)
        return absl::InternalError(fmt::format("ISA-L's deflate answers {}", result));
      full = stream_.avail_out == 0;
      if (full || last) EndChunk();
    } while (full || stream_.avail_in > 0);
    return absl::OkStatus();
  }

 private:
  // Begins with a stored block. Without bytes before it, ISA-L (2.30) hashes the address of its
  // stream in place of the third byte, and the matches that it finds differ from call to call.
  absl::Status Store(std::span<uint8_t> bytes) {
    const auto size = static_cast<uint8_t>(bytes.size());
    const std::array<uint8_t, 5> header = {0, size, 0, static_cast<uint8_t>(~size), 0xff};
    std::copy(header.begin(), header.end(), stream_.next_out);
    std::copy(bytes.begin(), bytes.end(), stream_.next_out + header.size());
    stream_.next_out += header.size() + bytes.size();
    stream_.avail_out -= static_cast<uint32_t>(header.size() + bytes.size());
    if (const int result = isal_deflate_set_dict(&stream_, bytes.data(), size); result != COMP_OK)
      return absl::InternalError(fmt::format("ISA-L's dictionary answers {}", result));
    return absl::OkStatus();
  }

  void StartChunk() {
    stream_.next_out = buffer_.get();
    stream_.avail_out = kChunkBytes;
  }
  void EndChunk() {
    const std::span<const uint8_t> data(buffer_.get(), kChunkBytes - stream_.avail_out);
    if (!data.empty()) AppendChunk(chunks_, ChunkType("IDAT"), data);
    StartChunk();
  }

  std::vector<uint8_t>& chunks_;
  isal_zstream stream_;
  bool begun_ = false;
  std::unique_ptr<uint8_t[]> level_buffer_;
  std::unique_ptr<uint8_t[]> buffer_;
};

// 16-bit samples stand in a PNG with the high byte first.
void SwapRow(const uint8_t* __restrict row, size_t size, uint8_t* __restrict out) {
  for (size_t i = 0; i + 1 < size; i += 2) {
    const uint8_t low = row[i];
    out[i] = row[i + 1];
    out[i + 1] = low;
  }
}

class PngStitcher final : public Stitcher {
 public:
  PngStitcher(const EncodeSpec& spec, base::ByteSink& sink)
      : sink_(sink), expected_bytes_((RowBytes(spec) + 1) * spec.height) {}

  absl::Status WriteHeader(const EncodeSpec& spec, const Metadata& metadata) {
    const auto& png = std::get<PngEncodeSpec>(spec.format);
    std::vector<uint8_t> out(kPngSignature.begin(), kPngSignature.end());
    std::vector<uint8_t> header;
    AppendBigEndian32(header, spec.width);
    AppendBigEndian32(header, spec.height);
    static constexpr uint8_t kColorTypes[] = {kGray, kGrayAlpha, kRgb, kRgba};
    header.insert(header.end(), {static_cast<uint8_t>(png.bits_per_sample),
                                 kColorTypes[png.channels - 1], 0, 0, 0});
    AppendChunk(out, ChunkType("IHDR"), header);
    for (const auto& piece : metadata.pieces) {
      HISTEQ_RETURN_IF_ERROR(sink_.Write(out));
      out = piece.bytes;
    }
    AppendChunk(out, ChunkType("IDAT"), kZlibHeader);
    return sink_.Write(out);
  }

  absl::Status Append(const Fragment& fragment) override {
    adler32_ = static_cast<uint32_t>(
        adler32_combine(adler32_, fragment.adler32, static_cast<z_off_t>(fragment.raw_bytes)));
    raw_bytes_ += fragment.raw_bytes;
    return sink_.Write(fragment.bytes);
  }

  absl::Status Finish() override {
    if (raw_bytes_ != expected_bytes_)
      return absl::InternalError(
          fmt::format("the fragments hold {} bytes of rows, not {}", raw_bytes_, expected_bytes_));
    std::vector<uint8_t> tail(kLastBlock.begin(), kLastBlock.end());
    AppendBigEndian32(tail, adler32_);
    std::vector<uint8_t> out;
    AppendChunk(out, ChunkType("IDAT"), tail);
    AppendChunk(out, ChunkType("IEND"), {});
    return sink_.Write(out);
  }

 private:
  static constexpr uint8_t kGray = 0, kRgb = 2, kGrayAlpha = 4, kRgba = 6;
  base::ByteSink& sink_;
  const uint64_t expected_bytes_;
  uint64_t raw_bytes_ = 0;
  uint32_t adler32_ = 1;
};

}  // namespace

absl::StatusOr<Fragment> EncodePngFragment(const EncodeSpec& spec, const RasterLayout& layout,
                                           uint32_t, uint32_t rows,
                                           std::span<const uint8_t> segment,
                                           const base::CancelToken& token) {
  const auto& png = std::get<PngEncodeSpec>(spec.format);
  const size_t row_bytes = PlaneStride(layout.planes[0]);
  const bool swap = png.bits_per_sample == 16;
  PngRowFilter filter(row_bytes, png.channels * png.bits_per_sample / 8);
  std::vector<uint8_t> swapped[2];
  if (swap) swapped[0].resize(row_bytes), swapped[1].resize(row_bytes);
  const size_t run_rows = std::max<size_t>(1, kRunBytes / (row_bytes + 1));
  std::vector<uint8_t> run(std::min<size_t>(run_rows, rows) * (row_bytes + 1));
  Fragment fragment;
  // Pictures seldom shrink below half; what is reserved and not used is never touched.
  fragment.bytes.reserve(segment.size() / 2 + kChunkBytes);
  Deflater deflater(fragment.bytes);
  const uint8_t* above = nullptr;
  for (uint32_t first = 0; first < rows; first += static_cast<uint32_t>(run_rows)) {
    HISTEQ_RETURN_IF_ERROR(token.Check());
    const auto count = static_cast<uint32_t>(std::min<size_t>(run_rows, rows - first));
    for (uint32_t r = 0; r < count; ++r) {
      const uint8_t* row = segment.data() + uint64_t{first + r} * row_bytes;
      if (swap) {
        uint8_t* out = swapped[(first + r) % 2].data();
        SwapRow(row, row_bytes, out);
        row = out;
      }
      filter.Filter(row, above, run.data() + r * (row_bytes + 1));
      above = row;
    }
    const auto filtered = std::span(run).first(count * (row_bytes + 1));
    fragment.adler32 = isal_adler32(fragment.adler32, filtered.data(), filtered.size());
    fragment.raw_bytes += filtered.size();
    HISTEQ_RETURN_IF_ERROR(deflater.Deflate(filtered, first + count == rows));
  }
  return fragment;
}

absl::StatusOr<std::unique_ptr<Stitcher>> CreatePngStitcher(const EncodeSpec& spec,
                                                            const Metadata& metadata,
                                                            base::ByteSink& sink) {
  auto stitcher = std::make_unique<PngStitcher>(spec, sink);
  HISTEQ_RETURN_IF_ERROR(stitcher->WriteHeader(spec, metadata));
  return std::unique_ptr<Stitcher>(std::move(stitcher));
}

}  // namespace histeq::codec
