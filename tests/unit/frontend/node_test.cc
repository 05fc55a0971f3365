// Heartbeat, ListNodes, RegisterCoordinator, RemoveCoordinator.

#include <catch2/catch.hpp>

#include "frontend_harness.h"

namespace histeq::testing {
namespace {

using Stub = v1::Frontend::Stub;

v1::ListNodesResponse ListNodes(Harness& harness) {
  v1::ListNodesResponse response;
  REQUIRE(Call(harness.client(), &Stub::ListNodes, {}, &response).ok());
  return response;
}

TEST_CASE("coordinators are listed with what they say") {
  Harness harness;
  harness.UploadToEqualize();
  harness.UploadToEqualize();
  harness.Lease();
  v1::HeartbeatRequest beat = BeatOf("c");
  beat.mutable_coordinator()->set_jobs_running(1);
  beat.mutable_coordinator()->set_version("1.2.3");
  beat.mutable_coordinator()->set_simd_target("AVX2");
  v1::WorkerInfo& worker = *beat.mutable_coordinator()->add_workers();
  worker.set_name("w");
  worker.set_address("127.0.0.1:7072");
  worker.set_slots(4);
  worker.set_free_slots(3);
  worker.set_segments_done(17);
  worker.mutable_last_heartbeat_time()->set_seconds(1'700'000'000);
  HeartbeatCall heartbeat(harness.queue());
  v1::HeartbeatResponse answer;
  REQUIRE(heartbeat.Beat(beat, &answer));
  CHECK(answer.leases_size() == 0);
  CHECK(answer.interval().seconds() == 5);
  CHECK(answer.lease_ttl().seconds() == 30);
  const v1::ListNodesResponse nodes = ListNodes(harness);
  CHECK(nodes.jobs_queued() == 1);
  CHECK(nodes.jobs_running() == 1);
  REQUIRE(nodes.coordinators_size() == 1);
  const v1::CoordinatorInfo& info = nodes.coordinators(0);
  CHECK(info.name() == "c");
  CHECK(info.address() == "127.0.0.1:7071");
  CHECK(info.job_slots() == 2);
  CHECK(info.jobs_running() == 1);
  CHECK(info.alive());
  CHECK(!info.registered());
  CHECK(info.has_last_heartbeat_time());
  CHECK(info.version() == "1.2.3");
  CHECK(info.simd_target() == "AVX2");
  REQUIRE(info.workers_size() == 1);
  CHECK(info.workers(0).SerializeAsString() == worker.SerializeAsString());
}

TEST_CASE("a silent coordinator is gone, and its stream ended") {
  Harness harness([](auto& options) { options.coordinator_gone_after = absl::Milliseconds(300); });
  HeartbeatCall heartbeat(harness.queue());
  v1::HeartbeatResponse answer;
  REQUIRE(heartbeat.Beat(BeatOf("c"), &answer));
  CHECK(WaitUntil([&] { return !ListNodes(harness).coordinators(0).alive(); }));
  CHECK(WaitUntil([&] { return harness.frontend().core().heartbeats.active() == 0; }));
  CHECK(heartbeat.Finish().error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  HeartbeatCall again(harness.queue());
  REQUIRE(again.Beat(BeatOf("c"), &answer));
}

TEST_CASE("heartbeats that are wrong") {
  Harness harness;
  v1::HeartbeatResponse answer;
  HeartbeatCall nameless(harness.queue());
  CHECK(!nameless.Beat(BeatOf(""), &answer));
  CHECK(Outcome(nameless.Finish()) == "INVALID_ARGUMENT BAD_NAME");
  HeartbeatCall renamed(harness.queue());
  REQUIRE(renamed.Beat(BeatOf("c"), &answer));
  CHECK(!renamed.Beat(BeatOf("d"), &answer));
  CHECK(Outcome(renamed.Finish()) == "INVALID_ARGUMENT BAD_NAME");
  HeartbeatCall ends(harness.queue());
  REQUIRE(ends.Beat(BeatOf("c"), &answer));
  CHECK(Outcome(ends.Finish()) == "OK");
}

TEST_CASE("a report has no more workers than a coordinator may have") {
  Harness harness;
  v1::HeartbeatRequest beat = BeatOf("c");
  for (int i = 0; i < 256; ++i) beat.mutable_coordinator()->add_workers()->set_name("w");
  v1::HeartbeatResponse answer;
  HeartbeatCall heartbeat(harness.queue());
  REQUIRE(heartbeat.Beat(beat, &answer));
  beat.mutable_coordinator()->add_workers();
  CHECK(!heartbeat.Beat(beat, &answer));
  const grpc::Status status = heartbeat.Finish();
  CHECK(Outcome(status) == "INVALID_ARGUMENT BAD_PARAMETER");
  CHECK(FieldOf(status) == "coordinator.workers");
  CHECK(MetadataOf(status, "limit") == "256");
  CHECK(MetadataOf(status, "actual") == "257");
  CHECK(ListNodes(harness).coordinators(0).workers_size() == 256);
}

TEST_CASE("the list of nodes fits into a message, the living come first") {
  Harness harness;
  v1::HeartbeatResponse answer;
  std::vector<std::unique_ptr<HeartbeatCall>> calls;
  for (int i = 0; i < 20; ++i) {
    v1::HeartbeatRequest beat = BeatOf("c" + std::to_string(10 + i));
    for (int w = 0; w < 256; ++w) {
      v1::WorkerInfo& worker = *beat.mutable_coordinator()->add_workers();
      worker.set_name(std::string(256, 'n'));
      worker.set_address(std::string(256, 'a'));
    }
    calls.push_back(std::make_unique<HeartbeatCall>(harness.queue()));
    REQUIRE(calls.back()->Beat(beat, &answer));
  }
  const v1::ListNodesResponse nodes = ListNodes(harness);
  REQUIRE(nodes.coordinators_size() == 20);
  uint32_t workers = 0;
  for (const v1::CoordinatorInfo& info : nodes.coordinators()) {
    workers += static_cast<uint32_t>(info.workers_size());
  }
  CHECK(nodes.coordinators(0).workers_size() == 256);
  CHECK(nodes.coordinators(19).workers_size() == 0);
  CHECK(nodes.workers_omitted() > 0);
  CHECK(workers + nodes.workers_omitted() == 20 * 256);
}

TEST_CASE("the list of coordinators is bounded") {
  Harness harness([](auto& options) { options.catalog.max_coordinators = 2; });
  v1::RegisterCoordinatorRequest add;
  v1::RegisterCoordinatorResponse added;
  add.set_address("127.0.0.1:1");
  for (const std::string name : {"one", "two", "one"}) {
    add.set_name(name);
    REQUIRE(Call(harness.client(), &Stub::RegisterCoordinator, add, &added).ok());
  }
  add.set_name("three");
  const grpc::Status status = Call(harness.client(), &Stub::RegisterCoordinator, add, &added);
  CHECK(Outcome(status) == "RESOURCE_EXHAUSTED TOO_MANY_COORDINATORS");
  CHECK(MetadataOf(status, "limit") == "2");
  CHECK(ListNodes(harness).coordinators_size() == 2);
}

TEST_CASE("the list of coordinators") {
  Harness harness;
  v1::RegisterCoordinatorRequest add;
  v1::RegisterCoordinatorResponse added;
  add.set_name("one");
  add.set_address("127.0.0.1:1");
  REQUIRE(Call(harness.client(), &Stub::RegisterCoordinator, add, &added).ok());
  add.set_address("127.0.0.1:2");
  REQUIRE(Call(harness.client(), &Stub::RegisterCoordinator, add, &added).ok());
  harness.Restart();
  const v1::ListNodesResponse nodes = ListNodes(harness);
  REQUIRE(nodes.coordinators_size() == 1);
  CHECK(nodes.coordinators(0).name() == "one");
  CHECK(nodes.coordinators(0).address() == "127.0.0.1:2");
  CHECK(nodes.coordinators(0).registered());
  CHECK(!nodes.coordinators(0).alive());
  CHECK(!nodes.coordinators(0).has_last_heartbeat_time());
  HeartbeatCall heartbeat(harness.queue());
  v1::HeartbeatResponse answer;
  REQUIRE(heartbeat.Beat(BeatOf("one"), &answer));
  CHECK(ListNodes(harness).coordinators(0).alive());
  CHECK(ListNodes(harness).coordinators(0).registered());

  add.set_name("");
  grpc::Status status = Call(harness.client(), &Stub::RegisterCoordinator, add, &added);
  CHECK(Outcome(status) == "INVALID_ARGUMENT BAD_NAME");
  CHECK(FieldOf(status) == "name");
  add.set_name("two");
  add.set_address("nowhere");
  status = Call(harness.client(), &Stub::RegisterCoordinator, add, &added);
  CHECK(Outcome(status) == "INVALID_ARGUMENT BAD_ADDRESS");
  CHECK(FieldOf(status) == "address");
  v1::RemoveCoordinatorRequest remove;
  v1::RemoveCoordinatorResponse removed;
  remove.set_name("two");
  CHECK(Outcome(Call(harness.client(), &Stub::RemoveCoordinator, remove, &removed)) ==
        "NOT_FOUND COORDINATOR_NOT_FOUND");
}

}  // namespace
}  // namespace histeq::testing
