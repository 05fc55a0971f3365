#include "jpeg_reader.h"

#include <algorithm>
#include <map>
#include <optional>
#include <stdexcept>
#include <utility>

namespace histeq::reference {
namespace {

constexpr int kZigzag[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                             12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                             35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                             58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

[[noreturn]] void Fail(const std::string& what) { throw std::runtime_error(what); }

// Codes by (length, bits).
using Huffman = std::map<std::pair<int, int>, uint8_t>;

class Bytes {
 public:
  explicit Bytes(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  int Next() {
    if (at_ >= bytes_.size()) Fail("the file ends too early");
    return bytes_[at_++];
  }
  int Next16() {
    const int high = Next();
    return high << 8 | Next();
  }
  bool AtEnd() const { return at_ == bytes_.size(); }

 private:
  std::span<const uint8_t> bytes_;
  size_t at_ = 0;
};

class Bits {
 public:
  explicit Bits(Bytes& bytes) : bytes_(bytes) {}
  int Bit() {
    if (left_ == 0) {
      byte_ = bytes_.Next();
      if (byte_ == 0xFF && bytes_.Next() != 0) Fail("a marker in the middle of data");
      left_ = 8;
    }
    return byte_ >> --left_ & 1;
  }
  int Take(int count) {
    int value = 0;
    while (count-- > 0) value = value << 1 | Bit();
    return value;
  }
  uint8_t Symbol(const Huffman& codes) {
    int bits = 0;
    for (int length = 1; length <= 16; ++length) {
      bits = bits << 1 | Bit();
      if (const auto at = codes.find({length, bits}); at != codes.end()) return at->second;
    }
    Fail("no such code");
  }
  // T.81, F.2.2.1: RECEIVE and EXTEND.
  int Value(int size) {
    if (size == 0) return 0;
    const int value = Take(size);
    return value < 1 << (size - 1) ? value - (1 << size) + 1 : value;
  }
  void Pad() {
    while (left_ > 0)
      if (Bit() != 1) Fail("padding that is not of ones");
  }

 private:
  Bytes& bytes_;
  int byte_ = 0;
  int left_ = 0;
};

class Reader {
 public:
  Reader(std::span<const uint8_t> file, JpegFile& jpeg) : bytes_(file), jpeg_(jpeg) {}

  void Read() {
    if (bytes_.Next16() != 0xFFD8) Fail("no start of image");
    bool scanned = false;
    for (;;) {
      if (bytes_.Next() != 0xFF) Fail("no marker where one belongs");
      const int marker = bytes_.Next();
      if (marker == 0xD9) break;
      const int length = bytes_.Next16();
      if (length < 2) Fail("a segment without a length");
      std::vector<uint8_t> data(static_cast<size_t>(length) - 2);
      for (uint8_t& b : data) b = static_cast<uint8_t>(bytes_.Next());
      Bytes in(data);
      switch (marker) {
        case 0xDB:
          Quantizers(in);
          break;
        case 0xC4:
          Codes(in);
          break;
        case 0xDD:
          jpeg_.restart_interval = static_cast<uint32_t>(in.Next16());
          break;
        case 0xC0:
          Frame(in);
          break;
        case 0xDA:
          if (scanned) Fail("a second scan");
          scanned = true;
          Scan(in);
          break;
        default:
          if ((marker < 0xE0 || marker > 0xEF) && marker != 0xFE) Fail("an unknown marker");
          jpeg_.segments.push_back({marker, data});
      }
    }
    if (!scanned) Fail("no scan");
    if (!bytes_.AtEnd()) Fail("bytes after the end");
  }

 private:
  void Quantizers(Bytes& in) {
    while (!in.AtEnd()) {
      const int head = in.Next();
      if (head > 3) Fail("a quantization table that is not baseline");
      for (const int at : kZigzag) {
        const int value = in.Next();
        if (value == 0) Fail("a quantizer of 0");
        quantizers_[head][static_cast<size_t>(at)] = static_cast<uint16_t>(value);
      }
    }
  }

  void Codes(Bytes& in) {
    while (!in.AtEnd()) {
      const int head = in.Next();
      if ((head & 0xEE) != 0) Fail("a Huffman table that is not baseline");
      int counts[16];
      for (int& c : counts) c = in.Next();
      Huffman codes;
      int code = 0;
      for (int length = 1; length <= 16; ++length, code <<= 1) {
        for (int i = 0; i < counts[length - 1]; ++i) {
          // A code of ones alone is not allowed.
          if (code >= (1 << length) - 1) Fail("too many codes");
          codes[{length, code++}] = static_cast<uint8_t>(in.Next());
        }
      }
      codes_[head] = std::move(codes);
    }
  }

  void Frame(Bytes& in) {
    if (!jpeg_.components.empty()) Fail("a second frame");
    if (in.Next() != 8) Fail("not 8 bits");
    jpeg_.height = static_cast<uint32_t>(in.Next16());
    jpeg_.width = static_cast<uint32_t>(in.Next16());
    const int count = in.Next();
    if (jpeg_.width == 0 || jpeg_.height == 0 || count < 1 || count > 4) Fail("an empty frame");
    uint32_t blocks = 0;
    for (int i = 0; i < count; ++i) {
      JpegFile::Component c;
      c.id = in.Next();
      const int sampling = in.Next();
      c.horizontal_sampling = static_cast<uint32_t>(sampling >> 4);
      c.vertical_sampling = static_cast<uint32_t>(sampling & 15);
      const auto table = quantizers_.find(in.Next());
      if (table == quantizers_.end()) Fail("no such quantization table");
      c.quantizers = table->second;
      if (c.horizontal_sampling < 1 || c.horizontal_sampling > 4 || c.vertical_sampling < 1 ||
          c.vertical_sampling > 4)
        Fail("a sampling factor");
      max_h_ = std::max(max_h_, c.horizontal_sampling);
      max_v_ = std::max(max_v_, c.vertical_sampling);
      blocks += c.horizontal_sampling * c.vertical_sampling;
      jpeg_.components.push_back(std::move(c));
    }
    if (count > 1 && blocks > 10) Fail("more than 10 blocks in an MCU");
    if (!in.AtEnd()) Fail("a frame that is too long");
    for (auto& c : jpeg_.components) {
      c.blocks_wide = Ceil(jpeg_.width * c.horizontal_sampling, 8 * max_h_);
      c.blocks_high = Ceil(jpeg_.height * c.vertical_sampling, 8 * max_v_);
      c.blocks.resize(size_t{c.blocks_wide} * c.blocks_high);
    }
  }

  void Scan(Bytes& in) {
    const size_t count = jpeg_.components.size();
    if (count == 0 || static_cast<size_t>(in.Next()) != count) Fail("not all components in a scan");
    std::vector<const Huffman*> dc, ac;
    for (const auto& c : jpeg_.components) {
      if (in.Next() != c.id) Fail("components in another order");
      const int tables = in.Next();
      if (!codes_.contains(tables >> 4) || !codes_.contains(0x10 | (tables & 15)))
        Fail("no such Huffman table");
      dc.push_back(&codes_[tables >> 4]);
      ac.push_back(&codes_[0x10 | (tables & 15)]);
    }
    if (in.Next() != 0 || in.Next() != 63 || in.Next() != 0 || !in.AtEnd()) Fail("a scan's range");

    const bool single = count == 1;
    const uint32_t mcus_wide =
        single ? jpeg_.components[0].blocks_wide : Ceil(jpeg_.width, 8 * max_h_);
    const uint32_t mcus_high =
        single ? jpeg_.components[0].blocks_high : Ceil(jpeg_.height, 8 * max_v_);
    std::optional<Bits> bits(bytes_);
    std::vector<int> predictors(count);
    uint32_t in_interval = 0;
    for (uint32_t my = 0; my < mcus_high; ++my) {
      for (uint32_t mx = 0; mx < mcus_wide; ++mx) {
        if (jpeg_.restart_interval > 0 && in_interval == jpeg_.restart_interval) {
          bits->Pad();
          const int expected = 0xFFD0 + static_cast<int>(jpeg_.restarts % 8);
          if (bytes_.Next16() != expected) Fail("not the restart marker that is due");
          ++jpeg_.restarts;
          in_interval = 0;
          predictors.assign(count, 0);
          bits.emplace(bytes_);
        }
        ++in_interval;
        for (size_t i = 0; i < count; ++i) {
          JpegFile::Component& c = jpeg_.components[i];
          const uint32_t h = single ? 1 : c.horizontal_sampling;
          const uint32_t v = single ? 1 : c.vertical_sampling;
          for (uint32_t b = 0; b < h * v; ++b) {
            const std::array<int16_t, 64> block = Block(*bits, *dc[i], *ac[i], predictors[i]);
            const uint32_t x = mx * h + b % h, y = my * v + b / h;
            if (x < c.blocks_wide && y < c.blocks_high)
              c.blocks[size_t{y} * c.blocks_wide + x] = block;
          }
        }
      }
    }
    bits->Pad();
  }

  static std::array<int16_t, 64> Block(Bits& bits, const Huffman& dc, const Huffman& ac,
                                       int& predictor) {
    std::array<int16_t, 64> block{};
    const int size = bits.Symbol(dc);
    if (size > 11) Fail("a DC difference of too many bits");
    predictor += bits.Value(size);
    block[0] = static_cast<int16_t>(predictor);
    for (int k = 1; k < 64; ++k) {
      const int symbol = bits.Symbol(ac);
      if (symbol == 0) break;
      k += symbol >> 4;
      if (k > 63 || (symbol & 15) > 10) Fail("an AC coefficient beyond the block");
      if ((symbol & 15) == 0 && symbol != 0xF0) Fail("a code of the progressive kind");
      block[static_cast<size_t>(k)] = static_cast<int16_t>(bits.Value(symbol & 15));
    }
    return block;
  }

  static uint32_t Ceil(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

  Bytes bytes_;
  JpegFile& jpeg_;
  std::map<int, std::array<uint16_t, 64>> quantizers_;
  std::map<int, Huffman> codes_;
  uint32_t max_h_ = 1, max_v_ = 1;
};

}  // namespace

std::string ReadJpeg(std::span<const uint8_t> file, JpegFile& jpeg) {
  jpeg = {};
  try {
    Reader(file, jpeg).Read();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace histeq::reference
