#include "display/histogram_text.h"

#include <algorithm>
#include <cmath>

#include "display/names.h"
#include "display/table.h"
#include "fmt/format.h"

namespace histeq::client {

std::vector<double> Columned(const v1::Histogram& histogram, size_t columns, bool logarithmic) {
  std::vector<double> sums(columns, 0);
  const auto bins = static_cast<size_t>(histogram.counts_size());
  if (bins == 0) return sums;
  for (size_t value = 0; value < bins; ++value) {
    sums[value * columns / bins] += static_cast<double>(histogram.counts(static_cast<int>(value)));
  }
  // With more columns than bins a bin is as wide as its columns.
  if (columns > bins) {
    for (size_t column = 0; column < columns; ++column) {
      sums[column] =
          static_cast<double>(histogram.counts(static_cast<int>(column * bins / columns)));
    }
  }
  if (logarithmic) {
    for (double& sum : sums) sum = std::log1p(sum);
  }
  return sums;
}

std::string HistogramText(const v1::Histogram& histogram, const HistogramTextOptions& options) {
  constexpr const char* kEighths[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const size_t columns = std::clamp<size_t>(options.columns, 8, 256);
  const std::vector<double> heights = Columned(histogram, columns, options.logarithmic);
  const double highest = *std::max_element(heights.begin(), heights.end());
  const int steps = options.utf8 ? 8 : 1;
  std::string text;
  for (size_t row = options.rows; row-- > 0;) {
    std::string line;
    for (const double height : heights) {
      // Something that is there is seen, however little it is.
      const double scaled =
          highest > 0 ? height / highest * static_cast<double>(options.rows) * steps : 0;
      const int filled = height > 0 ? std::max(1, static_cast<int>(std::lround(scaled))) : 0;
      const int here = std::clamp(filled - static_cast<int>(row) * steps, 0, steps);
      line += options.utf8 ? kEighths[here] : here > 0 ? "#" : " ";
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    text += line + "\n";
  }
  const std::string last = std::to_string(std::max(histogram.counts_size(), 1) - 1);
  return text + "0" + std::string(columns - 1 - last.size(), options.utf8 ? ' ' : '-') + last +
         "\n";
}

std::string StatisticsText(const v1::ImageStatistics& statistics) {
  Table table({"CHANNEL", "MIN", "MAX", "MEAN", "STDDEV", "ENTROPY", "P1", "P5", "P25", "MEDIAN",
               "P75", "P95", "P99"});
  for (const auto& channel : statistics.channels()) {
    std::vector<std::string> row = {ChannelName(channel.channel()),
                                    std::to_string(channel.minimum()),
                                    std::to_string(channel.maximum()),
                                    fmt::format("{:.2f}", channel.mean()),
                                    fmt::format("{:.2f}", channel.standard_deviation()),
                                    fmt::format("{:.3f}", channel.entropy_bits())};
    for (int i = 0; i < 7; ++i) {
      row.push_back(i < channel.percentiles_size() ? std::to_string(channel.percentiles(i)) : "");
    }
    table.AddRow(std::move(row));
  }
  std::string text = fmt::format("{} bit, {} pixels counted", statistics.bits_per_sample(),
                                 statistics.counted_pixels());
  if (statistics.skipped_pixels() > 0) {
    text += fmt::format(", {} transparent ones left out", statistics.skipped_pixels());
  }
  return text + "\n" + table.Text();
}

}  // namespace histeq::client
