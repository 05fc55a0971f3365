// The Worker service's promises, through the wire.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <map>
#include <new>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "engine/thread_executor.h"
#include "rpc/operation_convert.h"
#include "rpc/status.h"
#include "test_worker.h"

namespace {
// The largest block of bytes that was asked for as a worker asks for what it receives.
std::atomic<size_t> largest_received = 0;
}  // namespace

void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  size_t largest = largest_received;
  while (size > largest && !largest_received.compare_exchange_weak(largest, size)) {
  }
  try {
    return operator new[](size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

namespace histeq::worker {
namespace {

using testing::TestImage;
using testing::TestWorker;

std::string ReasonOf(const grpc::Status& status) {
  const auto detail = base::GetErrorDetail(rpc::FromGrpc(status));
  return detail ? detail->reason : "";
}

std::map<std::string, std::string> FactsOf(const grpc::Status& status) {
  const auto detail = base::GetErrorDetail(rpc::FromGrpc(status));
  return detail ? detail->metadata : std::map<std::string, std::string>();
}

v1::Chunk ChunkOf(std::span<const uint8_t> bytes, uint64_t offset) {
  v1::Chunk chunk;
  chunk.mutable_data()->assign(bytes.begin(), bytes.end());
  rpc::SealChunk(offset, chunk);
  return chunk;
}

// One TransformSegment call, message by message.
struct TransformCall {
  grpc::ClientContext context;
  std::unique_ptr<
      grpc::ClientReaderWriter<v1::TransformSegmentRequest, v1::TransformSegmentResponse>>
      stream;
  codec::Fragment fragment;
  uint64_t announced = 0;

  explicit TransformCall(v1::Worker::Stub& stub) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    stream = stub.TransformSegment(&context);
  }
  void Send(const v1::TransformSegmentRequest::Header& header) {
    v1::TransformSegmentRequest request;
    *request.mutable_header() = header;
    stream->Write(request);
  }
  void SendMapping(std::span<const uint8_t> bytes) {
    constexpr size_t kStep = 1 << 20;
    for (size_t at = 0; at < bytes.size(); at += kStep) {
      v1::TransformSegmentRequest request;
      *request.mutable_mapping()->mutable_chunk() =
          ChunkOf(bytes.subspan(at, std::min(kStep, bytes.size() - at)), at);
      request.mutable_mapping()->set_size_bytes(bytes.size());
      stream->Write(request);
    }
  }
  void Send(const v1::Chunk& chunk) {
    v1::TransformSegmentRequest request;
    *request.mutable_chunk() = chunk;
    stream->Write(request);
  }
  void SendSamples(std::span<const uint8_t> bytes, size_t step) {
    for (size_t at = 0; at < bytes.size(); at += step) {
      Send(ChunkOf(bytes.subspan(at, std::min(step, bytes.size() - at)), at));
    }
  }
  grpc::Status End() {
    stream->WritesDone();
    v1::TransformSegmentResponse response;
    while (stream->Read(&response)) {
      if (response.has_header()) {
        announced = response.header().fragment_bytes();
        fragment.adler32 = response.header().adler32();
        fragment.raw_bytes = response.header().raw_bytes();
      } else {
        CHECK(rpc::CheckChunk(response.chunk(), fragment.bytes.size()).ok());
        const auto bytes = rpc::BytesOf(response.chunk());
        fragment.bytes.insert(fragment.bytes.end(), bytes.begin(), bytes.end());
      }
    }
    return stream->Finish();
  }
};

grpc::Status TransformWhole(v1::Worker::Stub& stub, const TestImage& image, uint32_t index,
                            bool with_mapping, codec::Fragment* fragment = nullptr) {
  TransformCall call(stub);
  call.Send(image.Header(index));
  if (with_mapping) call.SendMapping(image.spec.mapping->data());
  call.SendSamples(image.SamplesOf(index), 1000);
  const grpc::Status status = call.End();
  if (fragment != nullptr) *fragment = call.fragment;
  return status;
}

v1::WorkerGetStatusResponse StatusOf(v1::Worker::Stub& stub) {
  grpc::ClientContext context;
  v1::WorkerGetStatusResponse response;
  REQUIRE(stub.GetStatus(&context, {}, &response).ok());
  return response;
}

// Waits until the worker says so.
template <typename Done>
bool Await(v1::Worker::Stub& stub, Done done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (std::chrono::steady_clock::now() < end) {
    if (done(StatusOf(stub))) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

TEST_CASE("a segment comes back as the engine makes it") {
  TestWorker worker;
  const TestImage image(300, 100, 40);
  for (uint32_t index = 0; index < image.count(); ++index) {
    codec::Fragment fragment;
    const grpc::Status status =
        TransformWhole(*worker.stub, image, index, /*with_mapping=*/index == 0, &fragment);
    INFO(status.error_message());
    REQUIRE(status.ok());
    const codec::Fragment expected = image.Expected(index);
    CHECK((fragment.bytes == expected.bytes));
    CHECK(fragment.adler32 == expected.adler32);
    CHECK(fragment.raw_bytes == expected.raw_bytes);
  }
  CHECK(StatusOf(*worker.stub).worker().segments_done() == image.count());
}

TEST_CASE("a mapping that is not held is asked for; one that is held need not be sent") {
  TestWorker worker;
  const TestImage image(300, 40, 40);
  const grpc::Status unknown = TransformWhole(*worker.stub, image, 0, false);
  CHECK(unknown.error_code() == grpc::StatusCode::FAILED_PRECONDITION);
  CHECK(ReasonOf(unknown) == "MAPPING_UNKNOWN");
  CHECK(TransformWhole(*worker.stub, image, 0, true).ok());
  CHECK(TransformWhole(*worker.stub, image, 0, true).ok());
  CHECK(TransformWhole(*worker.stub, image, 0, false).ok());
  const TestImage other(300, 40, 40, 99);
  CHECK(ReasonOf(TransformWhole(*worker.stub, other, 0, false)) == "MAPPING_UNKNOWN");
}

TEST_CASE("a mapping that comes though it is held is checked, and takes no memory") {
  TestWorker worker;
  TestImage image(512, 256, 256);
  image.spec.parameters.method = Method::kClahe;
  image.spec.parameters.grid_x = image.spec.parameters.grid_y = 128;
  const ImageShape shape = engine::ShapeOf(image.spec.layout, 256);
  image.spec.mapping = std::make_shared<const Mapping>(ComputeMapping(
      image.spec.parameters, shape, Statistics::Create(image.spec.parameters, shape)));
  const std::span<const uint8_t> mapping = image.spec.mapping->data();
  REQUIRE(mapping.size() == 4 << 20);
  largest_received = 0;
  codec::Fragment first, second;
  REQUIRE(TransformWhole(*worker.stub, image, 0, true, &first).ok());
  CHECK(largest_received >= mapping.size());
  largest_received = 0;
  REQUIRE(TransformWhole(*worker.stub, image, 0, true, &second).ok());
  CHECK(largest_received < mapping.size());
  CHECK((first.bytes == second.bytes));

  // Its bytes are still looked at.
  TransformCall call(*worker.stub);
  call.Send(image.Header(0));
  v1::TransformSegmentRequest request;
  *request.mutable_mapping()->mutable_chunk() = ChunkOf(mapping.first(1000), 0);
  request.mutable_mapping()->mutable_chunk()->set_crc32c(request.mapping().chunk().crc32c() ^ 1);
  request.mutable_mapping()->set_size_bytes(mapping.size());
  call.stream->Write(request);
  CHECK(ReasonOf(call.End()) == "CHECKSUM_MISMATCH");
}

TEST_CASE("a mapping under a wrong name is refused and not kept") {
  TestWorker worker;
  const TestImage image(300, 40, 40);
  TransformCall call(*worker.stub);
  call.Send(image.Header(0));
  std::vector<uint8_t> other(image.spec.mapping->data().begin(), image.spec.mapping->data().end());
  other[7] ^= 1;
  call.SendMapping(other);
  call.SendSamples(image.SamplesOf(0), 4000);
  const grpc::Status status = call.End();
  CHECK(status.error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(ReasonOf(status) == "BAD_MAPPING");
  CHECK(ReasonOf(TransformWhole(*worker.stub, image, 0, false)) == "MAPPING_UNKNOWN");
}

TEST_CASE("streams that do not fit their header are refused, and leave nothing behind") {
  TestWorker worker;
  const TestImage image(300, 40, 40);
  const std::vector<uint8_t> samples = image.SamplesOf(0);
  const std::span<const uint8_t> all(samples);
  TransformCall call(*worker.stub);
  grpc::StatusCode code = grpc::StatusCode::INVALID_ARGUMENT;
  std::string reason;
  // How many more bytes came than were announced; 0: none.
  uint64_t too_many = 0;
  const auto begin = [&] {
    call.Send(image.Header(0));
    call.SendMapping(image.spec.mapping->data());
  };
  SECTION("no header") {
    call.Send(ChunkOf(all.first(10), 0));
    reason = "BAD_STREAM";
  }
  SECTION("nothing at all") { reason = "BAD_STREAM"; }
  SECTION("two headers") {
    begin();
    call.Send(image.Header(0));
    reason = "BAD_STREAM";
  }
  SECTION("too few bytes") {
    begin();
    call.SendSamples(all.first(all.size() - 1), 4000);
    reason = "BAD_STREAM";
  }
  SECTION("too many bytes") {
    begin();
    call.SendSamples(all, 4000);
    call.Send(ChunkOf(all.first(1), all.size()));
    reason = "BAD_STREAM";
    too_many = 1;
  }
  SECTION("a hole") {
    begin();
    call.Send(ChunkOf(all.first(10), 0));
    call.Send(ChunkOf(all.first(10), 11));
    code = grpc::StatusCode::OUT_OF_RANGE;
    reason = "OFFSET_MISMATCH";
  }
  SECTION("a wrong checksum") {
    begin();
    v1::Chunk chunk = ChunkOf(all, 0);
    (*chunk.mutable_data())[5] ^= 1;
    call.Send(chunk);
    code = grpc::StatusCode::DATA_LOSS;
    reason = "CHECKSUM_MISMATCH";
  }
  SECTION("half a mapping") {
    call.Send(image.Header(0));
    v1::TransformSegmentRequest request;
    *request.mutable_mapping()->mutable_chunk() = ChunkOf(all.first(10), 0);
    request.mutable_mapping()->set_size_bytes(256);
    call.stream->Write(request);
    call.SendSamples(all, 4000);
    reason = "BAD_STREAM";
  }
  SECTION("a mapping of another size") {
    call.Send(image.Header(0));
    call.SendMapping(all.first(255));
    reason = "BAD_MAPPING";
  }
  SECTION("a name that is no hash") {
    auto header = image.Header(0);
    header.set_mapping_id("short");
    call.Send(header);
    reason = "BAD_MAPPING";
  }
  SECTION("a header that lies") {
    auto header = image.Header(0);
    header.mutable_segment()->set_pixel_bytes(1);
    call.Send(header);
    reason = "INVALID_SEGMENT";
  }
  const grpc::Status status = call.End();
  INFO(status.error_message());
  CHECK(status.error_code() == code);
  CHECK(ReasonOf(status) == reason);
  if (too_many > 0) {
    CHECK(FactsOf(status) ==
          std::map<std::string, std::string>{{"limit", std::to_string(all.size())},
                                             {"actual", std::to_string(all.size() + too_many)}});
  }
  const auto after = StatusOf(*worker.stub).worker();
  CHECK(after.free_slots() == after.slots());
  CHECK(after.free_memory_bytes() == after.memory_bytes());
}

TEST_CASE("no more than the slots, no more than the memory; then with a hint") {
  WorkerOptions options;
  options.slots = 1;
  options.memory_bytes = 100'000;
  TestWorker worker(options);
  const TestImage image(300, 40, 40);
  {
    TransformCall holder(*worker.stub);
    holder.Send(image.Header(0));
    REQUIRE(Await(*worker.stub, [](const auto& s) { return s.worker().free_slots() == 0; }));
    CHECK(StatusOf(*worker.stub).work(0).job_id() == "job");
    const grpc::Status refused = TransformWhole(*worker.stub, image, 0, true);
    CHECK(refused.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
    CHECK(ReasonOf(refused) == "NO_SLOT");
    CHECK(base::GetErrorDetail(rpc::FromGrpc(refused))->retry_after.has_value());
    // The slot is free again as soon as its holder leaves.
    holder.context.TryCancel();
    CHECK(holder.End().error_code() == grpc::StatusCode::CANCELLED);
  }
  REQUIRE(Await(*worker.stub, [](const auto& s) { return s.worker().free_slots() == 1; }));
  CHECK(TransformWhole(*worker.stub, image, 0, true).ok());

  const TestImage large(3000, 40, 40);
  const grpc::Status refused = TransformWhole(*worker.stub, large, 0, true);
  CHECK(refused.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(ReasonOf(refused) == "MEMORY_BUDGET");
  CHECK_FALSE(base::GetErrorDetail(rpc::FromGrpc(refused))->retry_after.has_value());
}

TEST_CASE("a stream that falls silent is ended, and its slot is free") {
  WorkerOptions options;
  options.stall_timeout = absl::Milliseconds(200);
  TestWorker worker(options);
  const TestImage image(300, 40, 40);
  TransformCall silent(*worker.stub);
  SECTION("before its header") {}
  SECTION("after its header") { silent.Send(image.Header(0)); }
  v1::TransformSegmentResponse response;
  CHECK_FALSE(silent.stream->Read(&response));
  CHECK(silent.stream->Finish().error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  CHECK(Await(*worker.stub, [](const auto& s) { return s.worker().free_slots() == 2; }));
}

TEST_CASE("a cancelled call gives its slot back while it waits for its turn") {
  WorkerOptions options;
  options.segment_delay = absl::Hours(1);
  TestWorker worker(options);
  const TestImage image(300, 40, 40);
  TransformCall call(*worker.stub);
  call.Send(image.Header(0));
  call.SendMapping(image.spec.mapping->data());
  call.SendSamples(image.SamplesOf(0), 4000);
  call.stream->WritesDone();
  REQUIRE(Await(*worker.stub, [](const auto& s) { return s.worker().free_slots() == 1; }));
  call.context.TryCancel();
  CHECK(Await(*worker.stub, [](const auto& s) { return s.worker().free_slots() == 2; }));
  v1::TransformSegmentResponse response;
  CHECK_FALSE(call.stream->Read(&response));
  CHECK(call.stream->Finish().error_code() == grpc::StatusCode::CANCELLED);
}

TEST_CASE("a drain refuses new work, lets the rest end, and cancels what does not") {
  WorkerOptions options;
  options.segment_delay = absl::Hours(1);
  TestWorker worker(options);
  const TestImage image(300, 40, 40);
  grpc::Status status;
  std::thread running([&] { status = TransformWhole(*worker.stub, image, 0, true); });
  REQUIRE(Await(*worker.stub, [](const auto& s) { return s.worker().free_slots() == 1; }));
  worker.worker->Drain(absl::Milliseconds(50));
  running.join();
  CHECK(status.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(StatusOf(*worker.stub).worker().draining());
  const grpc::Status refused = TransformWhole(*worker.stub, image, 0, true);
  CHECK(refused.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(ReasonOf(refused) == "WORKER_DRAINING");
}

TEST_CASE("statistics are those of the rows, version first") {
  TestWorker worker;
  const TestImage image(300, 100, 40);
  const ImageShape shape = engine::ShapeOf(image.spec.layout, 100);
  Statistics merged = Statistics::Create(image.spec.parameters, shape);
  for (uint32_t index = 0; index < image.count(); ++index) {
    grpc::ClientContext context;
    v1::AnalyzeSegmentResponse response;
    const auto writer = worker.stub->AnalyzeSegment(&context, &response);
    v1::AnalyzeSegmentRequest request;
    *request.mutable_header() = image.Header(index).segment();
    writer->Write(request);
    *request.mutable_chunk() = ChunkOf(image.SamplesOf(index), 0);
    writer->Write(request);
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    INFO(status.error_message());
    REQUIRE(status.ok());
    std::vector<uint64_t> words(response.statistics().size() / 8);
    REQUIRE(words.size() == 257);
    std::copy_n(response.statistics().data(), words.size() * 8,
                reinterpret_cast<char*>(words.data()));
    CHECK(words[0] == rpc::kStatisticsVersion);
    REQUIRE(merged.Merge(
        Statistics::FromWords(image.spec.parameters, shape, std::span(words).subspan(1))));
  }
  std::vector<uint64_t> expected(256);
  for (const uint8_t sample : image.samples) ++expected[sample];
  CHECK(std::equal(expected.begin(), expected.end(), merged.words().begin()));
}

struct ProcessAnswer {
  grpc::Status status;
  std::vector<uint8_t> file;
  v1::ProcessImageResponse::Finish finish;
};

ProcessAnswer Process(v1::Worker::Stub& stub, const std::string& file,
                      const v1::ProcessImageRequest::Header& header) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  const auto stream = stub.ProcessImage(&context);
  v1::ProcessImageRequest request;
  *request.mutable_header() = header;
  stream->Write(request);
  for (size_t at = 0; at < file.size(); at += 10'000) {
    const std::string part = file.substr(at, 10'000);
    *request.mutable_chunk() =
        ChunkOf({reinterpret_cast<const uint8_t*>(part.data()), part.size()}, at);
    if (!stream->Write(request)) break;
  }
  stream->WritesDone();
  ProcessAnswer answer;
  v1::ProcessImageResponse response;
  while (stream->Read(&response)) {
    if (response.has_finish()) {
      answer.finish = response.finish();
    } else {
      CHECK(rpc::CheckChunk(response.chunk(), answer.file.size()).ok());
      const auto bytes = rpc::BytesOf(response.chunk());
      answer.file.insert(answer.file.end(), bytes.begin(), bytes.end());
    }
  }
  answer.status = stream->Finish();
  return answer;
}

std::string ReadPicture(const std::string& name) {
  std::ifstream in(std::string(getenv("HISTEQ_TEST_DATA")) + "/" + name, std::ios::binary);
  REQUIRE(in.good());
  std::ostringstream all;
  all << in.rdbuf();
  return all.str();
}

v1::ProcessImageRequest::Header HeaderFor(const std::string& file) {
  v1::ProcessImageRequest::Header header;
  header.set_size_bytes(file.size());
  header.set_max_pixels(1'000'000'000);
  header.mutable_operation()->mutable_equalize();
  return header;
}

TEST_CASE("a small image is done whole") {
  TestWorker worker;
  const std::string file = ReadPicture("moon.png");
  auto header = HeaderFor(file);
  engine::InlineExecutor inline_executor;
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(file.data()), file.size());
  const auto operation = rpc::OperationFromProto(header.operation());
  const auto expected = inline_executor.ProcessImage(bytes, *operation, {}, {});
  REQUIRE(expected.ok());
  ProcessAnswer answer = Process(*worker.stub, file, header);
  INFO(answer.status.error_message());
  REQUIRE(answer.status.ok());
  CHECK((answer.file == expected->file));
  CHECK(answer.finish.size_bytes() == expected->file.size());
  CHECK(answer.finish.format() == v1::IMAGE_FORMAT_PNG);

  header.mutable_operation()->mutable_analyze();
  answer = Process(*worker.stub, file, header);
  INFO(answer.status.error_message());
  REQUIRE(answer.status.ok());
  CHECK(answer.file.empty());
  CHECK(answer.finish.has_statistics());
}

TEST_CASE("a small image takes what its histograms need of the memory budget") {
  const std::string file = ReadPicture("moon.png");
  auto header = HeaderFor(file);
  v1::Equalize& equalize = *header.mutable_operation()->mutable_equalize();
  equalize.set_method(v1::Equalize::METHOD_CLAHE);
  // 128 MiB.
  equalize.set_grid_x(256);
  equalize.set_grid_y(256);
  WorkerOptions options;
  options.memory_bytes = 128 << 20;
  {
    TestWorker worker(options);
    const ProcessAnswer refused = Process(*worker.stub, file, header);
    CHECK(refused.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
    CHECK(ReasonOf(refused.status) == "MEMORY_BUDGET");
    CHECK_FALSE(base::GetErrorDetail(rpc::FromGrpc(refused.status))->retry_after.has_value());
    const auto after = StatusOf(*worker.stub).worker();
    CHECK(after.free_memory_bytes() == after.memory_bytes());
  }
  options.memory_bytes = 256 << 20;
  TestWorker worker(options);
  const ProcessAnswer answer = Process(*worker.stub, file, header);
  INFO(answer.status.error_message());
  REQUIRE(answer.status.ok());
  engine::InlineExecutor inline_executor;
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(file.data()), file.size());
  const auto expected =
      inline_executor.ProcessImage(bytes, *rpc::OperationFromProto(header.operation()), {}, {});
  REQUIRE(expected.ok());
  CHECK((answer.file == expected->file));
}

TEST_CASE("images that cannot be done are refused with the codec's reason") {
  TestWorker worker;
  std::string file = ReadPicture("moon.png");
  auto header = HeaderFor(file);
  grpc::StatusCode code = grpc::StatusCode::INVALID_ARGUMENT;
  std::string reason;
  SECTION("not an image") {
    file = std::string(5000, 'x');
    header = HeaderFor(file);
    reason = "NOT_AN_IMAGE";
  }
  SECTION("truncated") {
    file.resize(file.size() / 2);
    header = HeaderFor(file);
    reason = "IMAGE_TRUNCATED";
  }
  SECTION("too large") {
    header.set_max_pixels(1000);
    reason = "IMAGE_TOO_LARGE";
  }
  SECTION("another size than announced") {
    header.set_size_bytes(file.size() + 1);
    reason = "BAD_STREAM";
  }
  SECTION("a size beyond all") {
    header.set_size_bytes(~uint64_t{0});
    reason = "BAD_STREAM";
  }
  SECTION("a reference that only the frontend has") {
    header.mutable_operation()->mutable_equalize()->set_method(v1::Equalize::METHOD_MATCH);
    header.mutable_operation()->mutable_equalize()->set_reference_image_id("somewhere");
    reason = "BAD_PARAMETER";
  }
  SECTION("no operation") {
    header.clear_operation();
    reason = "UNKNOWN_OPERATION";
  }
  SECTION("an inspection of bytes that are sent") {
    header.mutable_operation()->mutable_inspect();
    reason = "BAD_STREAM";
  }
  SECTION("a file in a storage that it does not have") {
    header.set_location("node://disk/a.png");
    code = grpc::StatusCode::NOT_FOUND;
    reason = "STORAGE_UNKNOWN";
  }
  const ProcessAnswer answer = Process(*worker.stub, file, header);
  INFO(answer.status.error_message());
  CHECK(answer.status.error_code() == code);
  CHECK(ReasonOf(answer.status) == reason);
  const auto after = StatusOf(*worker.stub).worker();
  CHECK(after.free_slots() == after.slots());
  CHECK(after.free_memory_bytes() == after.memory_bytes());
}

}  // namespace
}  // namespace histeq::worker
