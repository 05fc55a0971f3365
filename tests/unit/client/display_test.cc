// Text, JSON and drawings.

#include <catch2/catch.hpp>
#include <sstream>

#include "base/error.h"
#include "display/error_text.h"
#include "display/histogram_plot.h"
#include "display/histogram_text.h"
#include "display/json.h"
#include "display/names.h"
#include "display/printable.h"
#include "display/progress.h"
#include "display/table.h"

namespace histeq::client {
namespace {

TEST_CASE("text from outside becomes printable") {
  CHECK(Printable("plain Größe 日本 🙂") == "plain Größe 日本 🙂");
  CHECK(Printable("a\x1b[2Jb\r\n\t") == "a\\x1b[2Jb\\x0d\\x0a\\x09");
  CHECK(Printable(std::string_view("\0\x7f", 2)) == "\\x00\\x7f");
  CHECK(Printable("\xC2\x9B") == "\\x9b");
  CHECK(Printable("\xE2\x80\xAE") == "\\u{202e}");
  CHECK(Printable("\xE2\x81\xA6") == "\\u{2066}");
  CHECK(Printable("\xFFok\xC3") == "\\xffok\\xc3");
  CHECK(Printable("\xC0\xAF\xED\xA0\x80") == "\\xc0\\xaf\\xed\\xa0\\x80");
  CHECK(Printable("") == "");
}

TEST_CASE("columns of text") {
  CHECK(Columns("abc") == 3);
  CHECK(Columns("日本") == 4);
  CHECK(Columns("e\xCC\x81") == 1);
  CHECK(CutToColumns("日本語", 5) == "日本");
  CHECK(CutToColumns("abc", 10) == "abc");
  CHECK(CutToColumns("Größe", 3) == "Grö");
}

TEST_CASE("tables line up") {
  Table table({"A", "LONGER", "LAST"});
  CHECK(table.Text().empty());
  table.AddRow({"日本", "x", "end"});
  CHECK(table.Text() == "A     LONGER  LAST\n日本  x       end\n");
}

TEST_CASE("errors in words and in JSON") {
  const absl::Status status = base::MakeError(
      absl::StatusCode::kInvalidArgument, "at most 5 are allowed",
      {.reason = "TOO_MANY", .metadata = {{"limit", "5"}, {"actual", "7"}}, .field = "a.b"});
  CHECK(ErrorText(status) == "TOO_MANY: at most 5 are allowed (actual 7)");
  CHECK(ErrorText(absl::NotFoundError("gone")) == "NOT_FOUND: gone");
  CHECK(ToJson(status) ==
        "{\"code\":\"INVALID_ARGUMENT\",\"reason\":\"TOO_MANY\",\"message\":\"at most 5 are "
        "allowed\",\"field\":\"a.b\",\"metadata\":{\"actual\":\"7\",\"limit\":\"5\"}}");
}

TEST_CASE("JSON is safe on a terminal") {
  CHECK(JsonString("a\"b\\\n") == "\"a\\\"b\\\\\\n\"");
  CHECK(JsonString("\xC2\x9B") == "\"\\u009b\"");
  CHECK(JsonString("\x7f") == "\"\\u007f\"");
  CHECK(JsonString("\xE2\x80\xAE") == "\"\\u202e\"");
  CHECK(JsonString("Größe") == "\"Größe\"");
  CHECK(JsonString("\xFF") == "\"\xEF\xBF\xBD\"");
}

TEST_CASE("words of the contract") {
  for (const char* name : {"queued", "running", "succeeded", "failed", "cancelled"}) {
    CHECK(StateName(*StateByName(name)) == name);
  }
  CHECK(!StateByName("unspecified").has_value());
  CHECK(StateName(static_cast<v1::JobState>(99)) == "unknown");
  v1::Operation operation;
  CHECK(OperationText(operation) == "unknown");
  operation.mutable_equalize();
  CHECK(OperationText(operation) == "equalize");
  operation.mutable_equalize()->set_method(v1::Equalize::METHOD_CLAHE);
  operation.mutable_equalize()->set_grid_x(4);
  CHECK(OperationText(operation) == "equalize clahe, grid 4x8");
}

v1::Histogram Counts(const std::vector<uint64_t>& counts) {
  v1::Histogram histogram;
  for (const uint64_t count : counts) histogram.add_counts(count);
  return histogram;
}

TEST_CASE("counts summed into columns") {
  std::vector<uint64_t> counts(65536, 1);
  CHECK(Columned(Counts(counts), 64, false) == std::vector<double>(64, 1024));
  CHECK(Columned(Counts({1, 2, 3, 4}), 2, false) == std::vector<double>{3, 7});
  CHECK(Columned(Counts({1, 2}), 4, false) == std::vector<double>{1, 1, 2, 2});
  CHECK(Columned(Counts({}), 3, false) == std::vector<double>{0, 0, 0});
}

TEST_CASE("a histogram in the terminal") {
  std::vector<uint64_t> counts(8, 0);
  counts[0] = 16;
  counts[1] = 8;
  counts[2] = 1;
  counts[7] = 9;
  HistogramTextOptions options;
  options.columns = 8;
  options.rows = 2;
  options.utf8 = true;
  CHECK(HistogramText(Counts(counts), options) ==
        "█      ▁\n"
        "██▁    █\n"
        "0      7\n");
  options.utf8 = false;
  CHECK(HistogramText(Counts(counts), options) ==
        "#\n"
        "###    #\n"
        "0------7\n");
  // Nothing counted, nothing sent.
  CHECK(HistogramText(Counts(std::vector<uint64_t>(8, 0)), options) == "\n\n0------7\n");
  CHECK(HistogramText(Counts({}), options) == "\n\n0------0\n");
  // A count that does not fit into 32 bits.
  counts[0] = 1ull << 60;
  CHECK(HistogramText(Counts(counts), options) == "#\n###    #\n0------7\n");
}

TEST_CASE("a histogram as a picture") {
  PlotPanel panel;
  panel.title = "a title that is far too long for the width of one panel of this picture";
  auto& channel = *panel.statistics.add_channels();
  channel.set_channel(v1::ImageStatistics::CHANNEL_GRAY);
  *channel.mutable_histogram() = Counts(std::vector<uint64_t>(256, 5));
  const PlotPicture one = DrawPlot({panel}, false);
  const PlotPicture two = DrawPlot({panel, panel}, true);
  const PlotPicture five = DrawPlot({panel, panel, panel, panel, panel}, false);
  CHECK(two.width == 2 * one.width);
  CHECK(two.height == one.height);
  CHECK(five.width == 4 * one.width);
  CHECK(five.height == 2 * one.height);
  CHECK(one.samples.size() == one.width * one.height * 3);
  // A flat histogram fills its plot.
  const size_t middle = (one.height / 2 * one.width + one.width / 2) * 3;
  CHECK(one.samples[middle] == 185);
  CHECK(one.samples[0] == 255);
  const auto png = EncodePng(two);
  REQUIRE(png.ok());
  CHECK(png->substr(1, 3) == "PNG");

  CHECK(EncodePng(DrawPlot({}, false)).ok());
  channel.mutable_histogram()->clear_counts();
  CHECK(EncodePng(DrawPlot({panel}, false)).ok());
}

TEST_CASE("a display keeps results, progress and errors apart") {
  std::ostringstream out;
  std::ostringstream err;
  const bool redraw = GENERATE(false, true);
  const bool quiet = GENERATE(false, true);
  {
    Display display({.out = &out, .err = &err, .redraw = redraw, .quiet = quiet});
    display.ExpectItems(2);
    const auto first = display.Begin("first");
    const auto second = display.Begin("second");
    first->Uploading(0, 100);
    first->Uploading(50, 100);
    v1::Job job;
    job.set_state(v1::JOB_STATE_QUEUED);
    job.set_waiting_for("storage disk1");
    second->Job(job);
    job.set_state(v1::JOB_STATE_RUNNING);
    second->Job(job);
    v1::JobProgress progress;
    progress.set_stage(v1::JOB_STAGE_TRANSFORM);
    progress.set_segments_done(1);
    progress.set_segments_total(4);
    second->Working(progress);
    second->Downloading(0, 0);
    first->Notice("careful");
    display.Error("bad\nthing");
    display.Out("result");
    first->Done("there");
  }
  CHECK(out.str() == "result\n");
  CHECK(err.str().find("histeq: bad\\x0athing\n") != std::string::npos);
  CHECK((err.str().find("first: careful") != std::string::npos) == !quiet);
  CHECK((err.str().find("first: uploading 100 B") != std::string::npos) == (!quiet && !redraw));
  CHECK((err.str().find("queued, waits for storage disk1") != std::string::npos) ==
        (!quiet && !redraw));
  if (quiet) CHECK(err.str() == "histeq: bad\\x0athing\n");
}

}  // namespace
}  // namespace histeq::client
