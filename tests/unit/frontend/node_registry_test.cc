#include "node_registry.h"

#include <catch2/catch.hpp>

#include "manual_clock.h"

namespace histeq::frontend {
namespace {

NodeReport Named(const std::string& name) {
  NodeReport report;
  report.name = name;
  return report;
}

TEST_CASE("a coordinator is alive for a while after each report") {
  testing::ManualClock clock;
  NodeRegistry nodes(clock, {});
  CHECK(nodes.Report(Named("a")));
  clock.Advance(absl::Seconds(20));
  CHECK(!nodes.Report(Named("a")));
  clock.Advance(absl::Seconds(20));
  CHECK(nodes.TakeGone().empty());
  CHECK(nodes.Nodes().at(0).alive);
  clock.Advance(absl::Milliseconds(1));
  CHECK(!nodes.Nodes().at(0).alive);
  CHECK(nodes.TakeGone() == std::vector<std::string>{"a"});
  CHECK(nodes.TakeGone().empty());
  // And comes back.
  CHECK(nodes.Report(Named("a")));
  CHECK(nodes.Nodes().at(0).alive);
  CHECK(nodes.Nodes().at(0).last_heartbeat == clock.Now());
}

TEST_CASE("old ones are forgotten, and there are never too many") {
  testing::ManualClock clock;
  NodeRegistry nodes(clock, {.max_nodes = 2});
  nodes.Report(Named("a"));
  clock.Advance(absl::Seconds(1));
  nodes.Report(Named("b"));
  nodes.Report(Named("c"));
  REQUIRE(nodes.Nodes().size() == 2);
  CHECK(nodes.Nodes().at(0).report.name == "b");
  clock.Advance(absl::Hours(2));
  CHECK(nodes.TakeGone().size() == 2);
  CHECK(nodes.Nodes().empty());
}

}  // namespace
}  // namespace histeq::frontend
