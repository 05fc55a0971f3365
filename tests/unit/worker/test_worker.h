#pragma once

// A worker in this process, on a loopback port, and what segments are made of.

#include <openssl/sha.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "codec/raster_layout.h"
#include "engine/operation.h"
#include "engine/plan.h"
#include "engine/segment_work.h"
#include "grpc_worker.h"
#include "grpcpp/server.h"
#include "histeq/equalize.h"
#include "histeq/v1/worker.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/chunk.h"
#include "rpc/segment_convert.h"
#include "rpc/server.h"

namespace histeq::testing {

// A real worker without coordinators.
struct TestWorker {
  std::unique_ptr<worker::Worker> worker;
  std::unique_ptr<rpc::Server> server;
  std::unique_ptr<v1::Worker::Stub> stub;

  explicit TestWorker(worker::WorkerOptions options = {}) {
    if (options.name.empty()) options.name = "worker-under-test";
    if (options.threads == 0) options.threads = 2;
    worker = std::make_unique<worker::Worker>(std::move(options));
    rpc::ServerOptions server_options;
    server_options.services = {worker->service()};
    auto started = rpc::Server::Start(server_options);
    REQUIRE(started.ok());
    server = *std::move(started);
    stub = v1::Worker::NewStub(rpc::MakeChannel(address()));
  }
  ~TestWorker() {
    if (worker != nullptr) worker->Drain(absl::ZeroDuration());
    server.reset();
  }
  std::string address() const { return server->local_address(); }
};

// A gray image of one plane, as PNG rows or as MCU rows.
struct TestImage {
  engine::TransformSpec spec;
  uint32_t segment_rows;
  std::vector<uint8_t> samples;

  TestImage(uint32_t width, uint32_t height, uint32_t rows, uint32_t seed = 1)
      : segment_rows(rows) {
    spec.layout.planes = {{.stored_width = width, .visible_width = width}};
    spec.encode.width = width;
    spec.encode.height = height;
    spec.encode.format = codec::PngEncodeSpec{};
    samples.resize(uint64_t{width} * height);
    uint32_t state = seed;
    for (size_t i = 0; i < samples.size(); ++i) {
      state = state * 1664525 + 1013904223;
      // A slope with noise.
      samples[i] = static_cast<uint8_t>(40 + i * 100 / samples.size() + (state >> 27));
    }
    const ImageShape shape = engine::ShapeOf(spec.layout, height);
    Statistics statistics = Statistics::Create(spec.parameters, shape);
    AccumulateRows(spec.parameters, shape,
                   {.data = samples.data(), .stride_bytes = width, .rows = height}, 0, statistics);
    spec.mapping =
        std::make_shared<const Mapping>(ComputeMapping(spec.parameters, shape, statistics));
    // Also made by servers' threads, where there are no assertions.
    if (!spec.mapping->valid()) throw std::logic_error("no mapping");
  }

  uint32_t count() const { return engine::Plan(spec.encode.height, segment_rows).count(); }
  engine::Segment segment(uint32_t index) const {
    return engine::Plan(spec.encode.height, segment_rows).at(index);
  }
  std::vector<uint8_t> SamplesOf(uint32_t index) const {
    const engine::Segment at = segment(index);
    const auto begin = samples.begin() + static_cast<ptrdiff_t>(at.first_row) * spec.encode.width;
    return {begin, begin + static_cast<ptrdiff_t>(at.rows) * spec.encode.width};
  }
  // What every executor must make of a segment.
  codec::Fragment Expected(uint32_t index) const {
    std::vector<uint8_t> bytes = SamplesOf(index);
    auto fragment = engine::TransformSegment(spec, segment(index), bytes);
    if (!fragment.ok()) throw std::logic_error(fragment.status().ToString());
    return *std::move(fragment);
  }
  std::string mapping_id() const {
    std::string id(32, '\0');
    SHA256(spec.mapping->data().data(), spec.mapping->data().size(),
           reinterpret_cast<uint8_t*>(id.data()));
    return id;
  }
  v1::TransformSegmentRequest::Header Header(uint32_t index) const {
    v1::TransformSegmentRequest::Header header;
    rpc::ToProto(spec, segment(index), header);
    header.mutable_segment()->mutable_context()->set_job_id("job");
    header.mutable_segment()->mutable_context()->set_segment(index);
    header.set_mapping_id(mapping_id());
    return header;
  }
};

}  // namespace histeq::testing
