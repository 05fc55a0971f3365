#include "differential.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "histeq/equalize.h"
#include "histeq/target.h"
#include "histeq_apply.h"
#include "histeq_histogram.h"
#include "histeq_tables.h"

namespace histeq::differential {
namespace {

constexpr uint8_t kUntouched = 0xA5;

// A picture in memory, with its surroundings.
class Memory {
 public:
  Memory(const reference::Image& image, const Layout& layout)
      : sample_bytes_(image.shape.bits_per_sample / 8),
        row_bytes_(size_t{image.shape.width} * image.shape.channels * sample_bytes_),
        pitch_(row_bytes_ + size_t{layout.gap} * sample_bytes_),
        begin_(64 + size_t{layout.offset} * sample_bytes_),
        rows_(image.shape.height),
        upside_down_(layout.upside_down),
        bytes_(begin_ + pitch_ * rows_ + 64, kUntouched) {}

  void Fill(const std::vector<uint32_t>& samples) {
    const size_t row_samples = row_bytes_ / sample_bytes_;
    for (uint32_t row = 0; row < rows_; ++row) {
      for (size_t i = 0; i < row_samples; ++i) {
        const uint32_t sample = samples[row * row_samples + i];
        // Little- and big-endian alike.
        if (sample_bytes_ == 1) {
          const auto byte = static_cast<uint8_t>(sample);
          std::memcpy(At(row) + i, &byte, 1);
        } else {
          const auto word = static_cast<uint16_t>(sample);
          std::memcpy(At(row) + 2 * i, &word, 2);
        }
      }
    }
  }

  std::vector<uint32_t> Samples() const {
    std::vector<uint32_t> samples;
    for (uint32_t row = 0; row < rows_; ++row) {
      for (size_t i = 0; i < row_bytes_ / sample_bytes_; ++i) {
        uint16_t word = *(At(row) + i);
        if (sample_bytes_ == 2) std::memcpy(&word, At(row) + 2 * i, 2);
        samples.push_back(word);
      }
    }
    return samples;
  }

  // Whether nobody wrote outside the rows.
  bool SurroundingsUntouched() const {
    std::vector<bool> inside(bytes_.size());
    for (uint32_t row = 0; row < rows_; ++row) {
      const auto from = At(row) - bytes_.data();
      std::fill_n(inside.begin() + from, row_bytes_, true);
    }
    for (size_t i = 0; i < bytes_.size(); ++i) {
      if (!inside[i] && bytes_[i] != kUntouched) return false;
    }
    return true;
  }

  ConstRows Read(uint32_t first, uint32_t rows) const { return {At(first), Stride(), rows}; }
  Rows Write(uint32_t first, uint32_t rows) { return {At(first), Stride(), rows}; }

 private:
  ptrdiff_t Stride() const {
    return upside_down_ ? -static_cast<ptrdiff_t>(pitch_) : static_cast<ptrdiff_t>(pitch_);
  }
  size_t Place(uint32_t row) const {
    return begin_ + pitch_ * (upside_down_ && rows_ > 0 ? rows_ - 1 - row : row);
  }
  const uint8_t* At(uint32_t row) const { return bytes_.data() + (row < rows_ ? Place(row) : 0); }
  uint8_t* At(uint32_t row) { return bytes_.data() + (row < rows_ ? Place(row) : 0); }

  size_t sample_bytes_;
  size_t row_bytes_;
  size_t pitch_;
  size_t begin_;
  uint32_t rows_;
  bool upside_down_;
  std::vector<uint8_t> bytes_;
};

struct Segment {
  uint32_t first;
  uint32_t rows;
};

std::vector<Segment> SegmentsOf(const Case& c) {
  std::vector<uint32_t> bounds = {0, c.image.shape.height};
  for (const uint32_t cut : c.cuts) bounds.push_back(std::min(cut, c.image.shape.height));
  std::sort(bounds.begin(), bounds.end());
  std::vector<Segment> segments;
  for (size_t i = 0; i + 1 < bounds.size(); ++i) {
    segments.push_back({bounds[i], bounds[i + 1] - bounds[i]});
  }
  return segments;
}

void Accumulate(const Case& c, const Memory& memory, const Memory* mask, const Segment& segment,
                Statistics& statistics) {
  const ConstRows rows = memory.Read(segment.first, segment.rows);
  if (mask == nullptr) {
    AccumulateRows(c.parameters, c.image.shape, rows, segment.first, statistics);
  } else {
    AccumulateRows(c.parameters, c.image.shape, rows, mask->Read(segment.first, segment.rows),
                   segment.first, statistics);
  }
}

std::vector<reference::Table> TablesOf(const ImageShape& shape, const Mapping& mapping) {
  const size_t values = SampleValues(shape);
  const size_t sample_bytes = shape.bits_per_sample / 8;
  std::vector<reference::Table> tables(mapping.data().size() / (values * sample_bytes),
                                       reference::Table(values));
  for (size_t table = 0; table < tables.size(); ++table) {
    for (size_t value = 0; value < values; ++value) {
      const uint8_t* from = mapping.data().data() + (table * values + value) * sample_bytes;
      uint16_t word = *from;
      if (sample_bytes == 2) std::memcpy(&word, from, 2);
      tables[table][value] = word;
    }
  }
  return tables;
}

std::string Compare(const char* what, std::span<const uint32_t> fast,
                    std::span<const uint32_t> slow, uint32_t tolerance) {
  if (fast.size() != slow.size()) return std::string(what) + ": another size";
  for (size_t i = 0; i < fast.size(); ++i) {
    const int64_t apart = int64_t{fast[i]} - int64_t{slow[i]};
    if (std::abs(apart) > tolerance) {
      return std::string(what) + " at " + std::to_string(i) + ": " + std::to_string(fast[i]) +
             ", twin " + std::to_string(slow[i]);
    }
  }
  return {};
}

// What one target made; the next must make the same.
struct Made {
  std::vector<uint8_t> tables;
  std::vector<uint32_t> samples;
};

class Run {
 public:
  explicit Run(const Case& c)
      : c_(c),
        segments_(SegmentsOf(c)),
        counts_(reference::Count(c.parameters, c.image)),
        tables_(reference::Tables(c.parameters, c.image.shape, counts_)) {}

  std::string OnThisTarget() {
    Memory source(c_.image, c_.layout);
    source.Fill(c_.image.samples);
    const Memory* mask = Mask();

    Statistics whole = Statistics::Create(c_.parameters, c_.image.shape);
    Accumulate(c_, source, mask, {0, c_.image.shape.height}, whole);
    if (const auto wrong = CompareCounts("counts", whole); !wrong.empty()) return wrong;

    Statistics merged = Statistics::Create(c_.parameters, c_.image.shape);
    for (auto segment = segments_.rbegin(); segment != segments_.rend(); ++segment) {
      Statistics part = Statistics::Create(c_.parameters, c_.image.shape);
      Accumulate(c_, source, mask, *segment, part);
      if (!merged.Merge(part)) return "segments' counts do not merge";
    }
    if (const auto wrong = CompareCounts("merged counts", merged); !wrong.empty()) return wrong;

    const Mapping mapping = ComputeMapping(c_.parameters, c_.image.shape, whole);
    if (!mapping.valid()) return "no mapping";
    if (const auto wrong = CompareTables(mapping); !wrong.empty()) return wrong;

    const auto sent = Mapping::FromBytes(c_.parameters, c_.image.shape, mapping.data());
    if (!sent) return "the mapping's bytes are refused";
    if (const auto wrong = CompareResults(source, mapping, *sent); !wrong.empty()) return wrong;
    return ComparePlanes(mask, mapping);
  }

 private:
  const Memory* Mask() {
    if (c_.image.mask.empty()) return nullptr;
    reference::Image bytes;
    bytes.shape = c_.image.shape;
    bytes.shape.channels = 1;
    bytes.shape.bits_per_sample = 8;
    bytes.samples.assign(c_.image.mask.begin(), c_.image.mask.end());
    mask_.assign(1, Memory(bytes, c_.layout));
    mask_[0].Fill(bytes.samples);
    return mask_.data();
  }

  std::string CompareCounts(const char* what, const Statistics& statistics) const {
    const auto words = statistics.words();
    if (words.size() != counts_.size()) return std::string(what) + ": another size";
    const auto [fast, slow] = std::mismatch(words.begin(), words.end(), counts_.begin());
    if (fast == words.end()) return {};
    return std::string(what) + " at " + std::to_string(fast - words.begin()) + ": " +
           std::to_string(*fast) + ", twin " + std::to_string(*slow);
  }

  std::string CompareTables(const Mapping& mapping) {
    const auto bytes = mapping.data();
    if (!made_.tables.empty()) {
      return std::equal(bytes.begin(), bytes.end(), made_.tables.begin(), made_.tables.end())
                 ? std::string()
                 : "tables differ from another target's";
    }
    made_.tables.assign(bytes.begin(), bytes.end());
    const auto fast = TablesOf(c_.image.shape, mapping);
    if (fast.size() != tables_.size()) return "another number of tables";
    const bool rounds = c_.parameters.method == Method::kMatch && c_.parameters.reference.empty();
    for (size_t i = 0; i < fast.size(); ++i) {
      if (auto wrong = Compare("table", fast[i], tables_[i], rounds ? 1 : 0); !wrong.empty()) {
        return wrong;
      }
    }
    // The tables of the fast path are right: what remains is their application.
    expected_ = reference::Apply(c_.parameters, c_.image, fast).samples;
    return {};
  }

  std::string CompareResults(Memory& source, const Mapping& mapping, const Mapping& sent) {
    Memory other(c_.image, c_.layout);
    Memory& target = c_.layout.in_place ? source : other;
    const uint32_t height = c_.image.shape.height;
    ApplyRows(c_.parameters, c_.image.shape, mapping, source.Read(0, height),
              target.Write(0, height), 0);
    if (const auto wrong = CompareSamples("result", target); !wrong.empty()) return wrong;

    source.Fill(c_.image.samples);
    Memory joined(c_.image, Layout{c_.layout.gap + 3, c_.layout.offset + 1, false, false});
    for (const Segment& segment : segments_) {
      ApplyRows(c_.parameters, c_.image.shape, sent, source.Read(segment.first, segment.rows),
                joined.Write(segment.first, segment.rows), segment.first);
    }
    return CompareSamples("segments' result", joined);
  }

  // The same picture with each channel in memory of its own.
  std::string ComparePlanes(const Memory* mask, const Mapping& mapping) {
    const uint32_t channels = c_.image.shape.channels;
    const uint32_t height = c_.image.shape.height;
    reference::Image plane;
    plane.shape = c_.image.shape;
    plane.shape.channels = 1;
    std::vector<Memory> memory;
    std::vector<ConstRows> in;
    std::vector<Rows> out;
    memory.reserve(channels);
    for (uint32_t channel = 0; channel < channels; ++channel) {
      plane.samples.clear();
      for (size_t i = channel; i < c_.image.samples.size(); i += channels) {
        plane.samples.push_back(c_.image.samples[i]);
      }
      memory.emplace_back(plane, Layout{c_.layout.gap + channel, channel, channel % 2 == 1, true});
      memory.back().Fill(plane.samples);
      in.push_back(memory.back().Read(0, height));
      out.push_back(memory.back().Write(0, height));
    }
    Statistics statistics = Statistics::Create(c_.parameters, c_.image.shape);
    AccumulatePlanes(c_.parameters, c_.image.shape, in,
                     mask == nullptr ? ConstRows() : mask->Read(0, height), 0, statistics);
    if (auto wrong = CompareCounts("counts of planes", statistics); !wrong.empty()) return wrong;
    ApplyPlanes(c_.parameters, c_.image.shape, mapping, in, out, 0);
    for (uint32_t channel = 0; channel < channels; ++channel) {
      if (!memory[channel].SurroundingsUntouched()) return "planes: wrote outside the rows";
      std::vector<uint32_t> expected;
      for (size_t i = channel; i < made_.samples.size(); i += channels) {
        expected.push_back(made_.samples[i]);
      }
      if (auto wrong = Compare("plane", memory[channel].Samples(), expected, 0); !wrong.empty()) {
        return wrong;
      }
    }
    return {};
  }

  std::string CompareSamples(const char* what, const Memory& target) {
    if (!target.SurroundingsUntouched()) return std::string(what) + ": wrote outside its rows";
    const std::vector<uint32_t> samples = target.Samples();
    if (made_.samples.empty()) {
      made_.samples = samples;
    } else if (auto wrong = Compare("bytes of another target or cut", samples, made_.samples, 0);
               !wrong.empty()) {
      return wrong;
    }
    return Compare(what, samples, expected_, c_.parameters.method == Method::kClahe ? 1 : 0);
  }

  const Case& c_;
  const std::vector<Segment> segments_;
  const std::vector<uint64_t> counts_;
  const std::vector<reference::Table> tables_;
  std::vector<uint32_t> expected_;
  std::vector<Memory> mask_;
  Made made_;
};

// Numbers out of bytes; zeros when they are used up.
class Numbers {
 public:
  explicit Numbers(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  uint32_t Byte() {
    if (bytes_.empty()) return 0;
    const uint32_t byte = bytes_[0];
    bytes_ = bytes_.subspan(1);
    return byte;
  }
  uint32_t Word() {
    const uint32_t high = Byte();
    return high << 8 | Byte();
  }
  uint32_t Below(uint32_t bound) { return Word() % bound; }
  uint32_t Seed() {
    const uint32_t high = Word();
    return high << 16 | Word();
  }

 private:
  std::span<const uint8_t> bytes_;
};

uint32_t NextRandom(uint32_t& state) {
  state = state * 1664525u + 1013904223u;
  return state >> 8;
}

// One of several kinds of content.
uint32_t SampleOf(uint32_t kind, uint32_t first, uint32_t second, uint32_t largest, size_t i,
                  uint32_t& state) {
  const uint32_t random = NextRandom(state);
  switch (kind) {
    case 0:
      return first;
    case 1:
      return random % 2 == 0 ? first : second;
    case 2:
      return static_cast<uint32_t>(i * (first + 1)) & largest;
    case 3:
      return (random % 16 + first) & largest;
    case 4:
      return random % 8 == 0 ? random & largest : first;
    default:
      return random & largest;
  }
}

}  // namespace

Case CaseOf(std::span<const uint8_t> bytes) {
  Numbers numbers(bytes);
  Case c;
  EqualizeParameters& p = c.parameters;
  ImageShape& shape = c.image.shape;
  const uint32_t flags = numbers.Byte();
  shape.bits_per_sample = (flags & 1) != 0 ? 16 : 8;
  shape.has_alpha = (flags & 2) != 0;
  shape.channels = numbers.Byte() % (shape.has_alpha ? 3 : 4) + (shape.has_alpha ? 2 : 1);
  const bool deep = shape.bits_per_sample == 16;
  p.method = static_cast<Method>(numbers.Byte() % 5 + 1);
  p.color = static_cast<Color>(numbers.Byte() % 3 + 1);
  if (ColorChannels(shape) == 2 || ColorChannels(shape) == 4) p.color = Color::kPerChannel;
  const uint32_t area = 1 + numbers.Below(4500);
  shape.width = numbers.Below(area + 1);
  shape.height = shape.width == 0 ? numbers.Byte() : std::min(area / shape.width, 300u);
  p.clip_limit_q8 = 256 + numbers.Seed() % 16384;
  // 16-bit tables are large.
  p.grid_x = 1 + numbers.Byte() % (deep ? 3 : 20);
  p.grid_y = 1 + numbers.Byte() % (deep ? 2 : 20);
  p.strength_q16 = (flags & 4) != 0 ? numbers.Below(65536) : 65536;
  p.significant_bits = (flags & 8) != 0 ? 1 + numbers.Byte() % shape.bits_per_sample : 0;
  p.has_nodata = (flags & 16) != 0;
  const uint32_t first = numbers.Word() & (SampleValues(shape) - 1);
  const uint32_t second = numbers.Word() & (SampleValues(shape) - 1);
  p.nodata = p.has_nodata ? first : 0;
  p.percentile_high_q4 = 1 + numbers.Seed() % 1'000'000;
  p.percentile_low_q4 = numbers.Seed() % p.percentile_high_q4;
  uint32_t state = numbers.Seed();
  if (p.method == Method::kMatch) {
    const uint32_t target = numbers.Byte() % 4;
    p.distribution = static_cast<Distribution>(target);
    if (target == 0) {
      p.reference.resize(SampleValues(shape));
      for (uint64_t& count : p.reference) {
        count = NextRandom(state) % 4 == 0 ? uint64_t{NextRandom(state)} << (state & 15) : 0;
      }
      p.reference[second] += 1;
    }
  }
  c.layout.gap = (flags & 32) != 0 ? numbers.Byte() % 70 : 0;
  c.layout.offset = numbers.Byte() % 64;
  c.layout.upside_down = (flags & 64) != 0;
  c.layout.in_place = (flags & 128) != 0;
  const uint32_t cuts = numbers.Byte() % 5;
  for (uint32_t i = 0; i < cuts; ++i) c.cuts.push_back(numbers.Below(shape.height + 2));
  const bool masked = numbers.Byte() % 4 == 0;
  const uint32_t kind = numbers.Byte() % 6;
  const uint64_t pixels = uint64_t{shape.width} * shape.height;
  c.image.samples.resize(pixels * shape.channels);
  for (size_t i = 0; i < c.image.samples.size(); ++i) {
    c.image.samples[i] = SampleOf(kind, first, second, SampleValues(shape) - 1, i, state);
    const bool alpha = shape.has_alpha && i % shape.channels == shape.channels - 1;
    if (alpha && NextRandom(state) % 4 == 0) c.image.samples[i] = 0;
  }
  // What is left of the bytes are the first samples.
  const uint32_t given = std::min<uint32_t>(numbers.Word(), 2000);
  for (size_t i = 0; i < std::min<size_t>(given, c.image.samples.size()); ++i) {
    c.image.samples[i] = deep ? numbers.Word() : numbers.Byte();
  }
  if (masked) {
    c.image.mask.resize(pixels);
    for (uint8_t& pixel : c.image.mask) {
      pixel = NextRandom(state) % 3 == 0 ? 0 : static_cast<uint8_t>(1 + NextRandom(state) % 255);
    }
  }
  return c;
}

std::string Describe(const Case& c) {
  const EqualizeParameters& p = c.parameters;
  const ImageShape& s = c.image.shape;
  std::string text = std::to_string(s.width) + "x" + std::to_string(s.height) + " of " +
                     std::to_string(s.channels) + " channels" + (s.has_alpha ? " with alpha" : "") +
                     ", " + std::to_string(s.bits_per_sample) + " bit; method " +
                     std::to_string(static_cast<uint32_t>(p.method)) + ", color " +
                     std::to_string(static_cast<uint32_t>(p.color)) + ", strength " +
                     std::to_string(p.strength_q16) + ", significant " +
                     std::to_string(p.significant_bits);
  if (p.has_nodata) text += ", nodata " + std::to_string(p.nodata);
  if (p.method == Method::kClahe) {
    text += ", grid " + std::to_string(p.grid_x) + "x" + std::to_string(p.grid_y);
  }
  text += ", clip " + std::to_string(p.clip_limit_q8) + "/256";
  if (!c.image.mask.empty()) text += ", mask";
  return text + (c.layout.in_place ? ", in place" : "");
}

std::string Difference(const Case& c) {
  if (const auto problem = FindProblem(c.parameters, c.image.shape)) {
    return std::string("refused: ") + problem->field + ", allowed " + problem->allowed;
  }
  Run run(c);
  std::string wrong;
  for (const char* target : SupportedTargetNames()) {
    ForceTargetForTest(target);
    wrong = run.OnThisTarget();
    if (!wrong.empty()) {
      wrong = std::string(target) + ": " + wrong + " (" + Describe(c) + ")";
      break;
    }
  }
  ForceTargetForTest(nullptr);
  return wrong;
}

}  // namespace histeq::differential
