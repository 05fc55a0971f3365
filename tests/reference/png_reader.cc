#include "png_reader.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

namespace histeq::reference {
namespace {

constexpr std::array<uint8_t, 8> kSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

uint32_t Read32(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}

void Append32(std::vector<uint8_t>& out, uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<uint8_t>(v >> shift));
}

uint32_t ChannelsOf(uint32_t color_type) {
  switch (color_type) {
    case 2:
      return 3;
    case 4:
      return 2;
    case 6:
      return 4;
    default:
      return 1;
  }
}

uint8_t PaethPredictor(int a, int b, int c) {
  const int p = a + b - c;
  const int pa = std::abs(p - a), pb = std::abs(p - b), pc = std::abs(p - c);
  if (pa <= pb && pa <= pc) return static_cast<uint8_t>(a);
  return static_cast<uint8_t>(pb <= pc ? b : c);
}

struct Pass {
  uint32_t x0, y0, dx, dy;
};
constexpr Pass kAdam7[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                           {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
constexpr Pass kWhole[] = {{0, 0, 1, 1}};

// Sample `i` of a row of packed samples.
uint32_t SampleAt(const std::vector<uint8_t>& row, size_t i, uint32_t depth) {
  if (depth == 16) return uint32_t{row[2 * i]} << 8 | row[2 * i + 1];
  if (depth == 8) return row[i];
  const size_t bit = i * depth;
  return row[bit / 8] >> (8 - depth - bit % 8) & ((1u << depth) - 1);
}

}  // namespace

const PngChunk* PngImage::Find(const std::string& type) const {
  for (const PngChunk& chunk : chunks)
    if (chunk.type == type) return &chunk;
  return nullptr;
}

std::vector<PngChunk> SplitPng(std::span<const uint8_t> file) {
  std::vector<PngChunk> chunks;
  if (file.size() < 8 || !std::equal(kSignature.begin(), kSignature.end(), file.begin())) return {};
  for (size_t at = 8; at < file.size();) {
    if (file.size() - at < 12) return {};
    const uint32_t length = Read32(&file[at]);
    if (file.size() - at - 12 < length) return {};
    const uint32_t crc = static_cast<uint32_t>(crc32(0, &file[at + 4], length + 4));
    if (crc != Read32(&file[at + 8 + length])) return {};
    chunks.push_back({std::string(file.begin() + at + 4, file.begin() + at + 8),
                      std::vector<uint8_t>(file.begin() + at + 8, file.begin() + at + 8 + length)});
    at += 12 + length;
  }
  return chunks;
}

std::vector<uint8_t> JoinPng(const std::vector<PngChunk>& chunks) {
  std::vector<uint8_t> out(kSignature.begin(), kSignature.end());
  for (const PngChunk& chunk : chunks) {
    Append32(out, static_cast<uint32_t>(chunk.data.size()));
    const size_t from = out.size();
    out.insert(out.end(), chunk.type.begin(), chunk.type.end());
    out.insert(out.end(), chunk.data.begin(), chunk.data.end());
    Append32(out, static_cast<uint32_t>(
                      crc32(0, out.data() + from, static_cast<uInt>(out.size() - from))));
  }
  return out;
}

std::string ReadPng(std::span<const uint8_t> file, PngImage& image) {
  image = {};
  const std::vector<PngChunk> chunks = SplitPng(file);
  if (chunks.size() < 3 || chunks.front().type != "IHDR" || chunks.back().type != "IEND")
    return "not whole chunks from IHDR to IEND";
  const std::vector<uint8_t>& header = chunks.front().data;
  if (header.size() != 13 || !chunks.back().data.empty()) return "IHDR or IEND of a wrong size";
  image.width = Read32(&header[0]);
  image.height = Read32(&header[4]);
  image.bit_depth = header[8];
  image.color_type = header[9];
  image.interlace = header[12];
  if (header[10] != 0 || header[11] != 0 || image.interlace > 1) return "unknown methods";
  std::vector<uint8_t> deflated;
  int data_runs = 0;
  for (size_t i = 0; i + 1 < chunks.size(); ++i) {
    if (chunks[i].type != "IDAT") {
      image.chunks.push_back(chunks[i]);
      continue;
    }
    if (chunks[i - 1].type != "IDAT") ++data_runs;
    deflated.insert(deflated.end(), chunks[i].data.begin(), chunks[i].data.end());
  }
  if (data_runs != 1) return "IDAT chunks not in one row";

  const uint32_t stored = ChannelsOf(image.color_type);
  const uint32_t depth = image.bit_depth;
  const std::span<const Pass> passes =
      image.interlace ? std::span<const Pass>(kAdam7) : std::span<const Pass>(kWhole);
  auto columns = [&](const Pass& p) {
    return image.width > p.x0 ? (image.width - p.x0 + p.dx - 1) / p.dx : 0;
  };
  auto lines = [&](const Pass& p) {
    return image.height > p.y0 ? (image.height - p.y0 + p.dy - 1) / p.dy : 0;
  };
  auto row_bytes = [&](const Pass& p) { return (size_t{columns(p)} * stored * depth + 7) / 8; };
  size_t expected = 0;
  for (const Pass& p : passes)
    if (columns(p) > 0) expected += lines(p) * (row_bytes(p) + 1);
  // One more, to see what is too much.
  std::vector<uint8_t> raw(expected + 1);
  z_stream z{};
  if (inflateInit(&z) != Z_OK) return "no inflate";
  z.next_in = deflated.data();
  z.avail_in = static_cast<uInt>(deflated.size());
  z.next_out = raw.data();
  z.avail_out = static_cast<uInt>(raw.size());
  const int result = inflate(&z, Z_FINISH);
  const bool whole = result == Z_STREAM_END && z.avail_in == 0 && z.total_out == expected;
  inflateEnd(&z);
  if (!whole) return "the zlib stream does not end with the last row";

  // Samples as stored, one a number.
  std::vector<uint32_t> samples(size_t{image.width} * image.height * stored);
  const size_t pixel = std::max<size_t>(1, stored * depth / 8);
  size_t at = 0;
  for (const Pass& p : passes) {
    if (columns(p) == 0) continue;
    std::vector<uint8_t> above(row_bytes(p)), row(row_bytes(p));
    for (uint32_t l = 0; l < lines(p); ++l) {
      const uint8_t filter = raw[at++];
      for (size_t i = 0; i < row.size(); ++i) {
        const int a = i >= pixel ? row[i - pixel] : 0;
        const int b = above[i];
        const int c = i >= pixel ? above[i - pixel] : 0;
        int predicted = 0;
        switch (filter) {
          case 0:
            break;
          case 1:
            predicted = a;
            break;
          case 2:
            predicted = b;
            break;
          case 3:
            predicted = (a + b) / 2;
            break;
          case 4:
            predicted = PaethPredictor(a, b, c);
            break;
          default:
            return "an unknown filter";
        }
        row[i] = static_cast<uint8_t>(raw[at++] + predicted);
      }
      for (uint32_t x = 0; x < columns(p); ++x)
        for (uint32_t ch = 0; ch < stored; ++ch)
          samples[((size_t{p.y0} + size_t{l} * p.dy) * image.width + p.x0 + size_t{x} * p.dx) *
                      stored +
                  ch] = SampleAt(row, size_t{x} * stored + ch, depth);
      above = row;
    }
  }

  const PngChunk* palette = image.Find("PLTE");
  const PngChunk* transparent = image.Find("tRNS");
  const bool indexed = image.color_type == 3;
  if (indexed && palette == nullptr) return "no palette";
  image.channels = (indexed ? 3 : stored) + (transparent != nullptr ? 1 : 0);
  image.bytes_per_sample = depth == 16 ? 2 : 1;
  auto put = [&](uint32_t value) {
    image.samples.push_back(static_cast<uint8_t>(value));
    if (depth == 16) image.samples.push_back(static_cast<uint8_t>(value >> 8));
  };
  for (size_t i = 0; i < samples.size(); i += stored) {
    if (indexed) {
      const size_t index = samples[i];
      if (index * 3 + 2 >= palette->data.size()) return "a pixel beyond the palette";
      for (size_t c = 0; c < 3; ++c) put(palette->data[index * 3 + c]);
      if (transparent != nullptr)
        put(index < transparent->data.size() ? transparent->data[index] : 255);
      continue;
    }
    bool hidden = transparent != nullptr;
    for (uint32_t c = 0; c < stored; ++c) {
      const uint32_t v = samples[i + c];
      put(depth < 8 ? v * 255 / ((1u << depth) - 1) : v);
      if (hidden)
        hidden = v == (uint32_t{transparent->data[2 * c]} << 8 | transparent->data[2 * c + 1]);
    }
    if (transparent != nullptr) put(hidden ? 0 : depth == 16 ? 65535 : 255);
  }
  return "";
}

}  // namespace histeq::reference
