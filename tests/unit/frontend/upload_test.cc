// UploadImage and GetUpload.

#include <catch2/catch.hpp>

#include "frontend_harness.h"
#include "rpc/chunk.h"

namespace histeq::testing {
namespace {

using Stub = v1::Frontend::Stub;

grpc::Status GetUpload(Harness& harness, const std::string& id, v1::GetUploadResponse* response) {
  v1::GetUploadRequest request;
  request.set_upload_id(id);
  return Call(harness.client(), &Stub::GetUpload, request, response);
}

// Waits until the server has stored what came with a call that has ended.
bool AwaitCommitted(Harness& harness, const std::string& id, uint64_t bytes) {
  return WaitUntil([&] {
    v1::GetUploadResponse response;
    return GetUpload(harness, id, &response).ok() && response.committed_bytes() == bytes;
  });
}

void CheckNothing(Harness& harness) {
  v1::ListImagesResponse images;
  CHECK(Call(harness.client(), &Stub::ListImages, {}, &images).ok());
  CHECK(images.images_size() == 0);
  v1::ListJobsResponse jobs;
  CHECK(Call(harness.client(), &Stub::ListJobs, {}, &jobs).ok());
  CHECK(jobs.jobs_size() == 0);
  CHECK(WaitUntil([&] { return harness.BlobFiles().empty(); }));
}

grpc::Status SendAll(Harness& harness, const v1::UploadImageRequest::Header& header,
                     const std::string& file, uint64_t offset = 0) {
  UploadCall call(harness.client(), header);
  call.SendRest(file, offset);
  return call.Finish();
}

TEST_CASE("an upload is registered with what its header says") {
  Harness harness;
  const std::string file = TestFile("moon.png");
  const v1::UploadImageResponse response = harness.UploadToEqualize();
  const v1::Image& image = response.image();
  CHECK(!image.id().empty());
  CHECK(image.name() == "moon.png");
  CHECK(image.location().rfind("blob:", 0) == 0);
  CHECK(image.sha256() == Sha256Of(file));
  CHECK(image.size_bytes() == file.size());
  CHECK(image.format() == v1::IMAGE_FORMAT_PNG);
  CHECK(image.width() == 512);
  CHECK(image.height() == 512);
  CHECK(image.channels() == 1);
  CHECK(image.bits_per_sample() == 8);
  CHECK(image.tag().empty());
  CHECK(image.has_create_time());
  const v1::Job& job = response.job();
  CHECK(job.image_id() == image.id());
  CHECK(job.image_name() == "moon.png");
  CHECK(job.state() == v1::JOB_STATE_QUEUED);
  CHECK(job.operation().has_equalize());
  CHECK(job.max_attempts() == 5);
  CHECK(harness.Download(image.id()) == file);
  CHECK(harness.BlobFiles().size() == 1);
}

TEST_CASE("size and checksum may be left out, or come at the end, and chunks may have no CRC") {
  Harness harness;
  const std::string file = TestFile("rocket.jpg");
  SECTION("left out") {
    UploadCall call(harness.client(), HeaderOf("rocket.jpg"));
    for (size_t at = 0; at < file.size(); at += 1 << 16) {
      v1::UploadImageRequest message;
      message.mutable_chunk()->set_offset(at);
      message.mutable_chunk()->set_data(file.substr(at, 1 << 16));
      REQUIRE(call.Send(message));
    }
    CHECK(Outcome(call.Finish()) == "OK");
    CHECK(call.response().image().sha256() == Sha256Of(file));
    CHECK(!call.response().has_job());
  }
  SECTION("at the end") {
    UploadCall call(harness.client(), HeaderOf("rocket.jpg"));
    call.SendRest(file);
    v1::UploadImageRequest message;
    message.mutable_finish()->set_sha256(Sha256Of(file));
    REQUIRE(call.Send(message));
    CHECK(Outcome(call.Finish()) == "OK");
  }
  SECTION("at the end, and wrong") {
    UploadCall call(harness.client(), HeaderOf("rocket.jpg"));
    call.SendRest(file);
    v1::UploadImageRequest message;
    message.mutable_finish()->set_sha256(Sha256Of("another"));
    REQUIRE(call.Send(message));
    CHECK(Outcome(call.Finish()) == "DATA_LOSS CHECKSUM_MISMATCH");
    CheckNothing(harness);
  }
  SECTION("twice, and not the same") {
    v1::UploadImageRequest::Header header = HeaderOf("rocket.jpg");
    header.set_sha256(Sha256Of(file));
    UploadCall call(harness.client(), header);
    call.SendRest(file);
    v1::UploadImageRequest message;
    message.mutable_finish()->set_sha256(Sha256Of("another"));
    REQUIRE(call.Send(message));
    const grpc::Status status = call.Finish();
    CHECK(Outcome(status) == "INVALID_ARGUMENT CHECKSUM_CONFLICT");
    CHECK(FieldOf(status) == "finish.sha256");
  }
}

TEST_CASE("an upload goes on where a broken connection left it") {
  Harness harness;
  const std::string file = TestFile("retina.jpg");
  v1::UploadImageRequest::Header header = HeaderOf("retina.jpg");
  header.set_sha256(Sha256Of(file));
  if (GENERATE(true, false)) header.set_size_bytes(file.size());
  *header.mutable_operation() = Equalize();
  {
    UploadCall call(harness.client(), header);
    REQUIRE(call.SendChunk(0, file.substr(0, 100'000)));
    // Until the server has the chunk it may be cancelled away unread.
    REQUIRE(WaitUntil([&] {
      for (const auto& entry : harness.BlobFiles()) {
        if (entry.find(".partial") != std::string::npos) return true;
      }
      return false;
    }));
    REQUIRE(call.SendChunk(100'000, file.substr(100'000, 50'000)));
    call.Cancel();
    CHECK(Outcome(call.FinishOpen()) == "CANCELLED");
  }
  v1::GetUploadResponse upload;
  // What arrived before the cancellation: a chunk, two, or none of them.
  REQUIRE(WaitUntil([&] {
    UploadCall probe(harness.client(), header);
    probe.SendChunk(1, "x");
    return Outcome(probe.FinishOpen()) == "OUT_OF_RANGE OFFSET_MISMATCH";
  }));
  REQUIRE(GetUpload(harness, header.upload_id(), &upload).ok());
  CHECK(!upload.finished());
  const uint64_t committed = upload.committed_bytes();
  INFO(committed);
  CHECK((committed == 0 || committed == 100'000 || committed == 150'000));
  SECTION("by the same process") {}
  SECTION("after a restart") {
    harness.Restart();
    REQUIRE(GetUpload(harness, header.upload_id(), &upload).ok());
    CHECK(upload.committed_bytes() == committed);
  }
  const grpc::Status wrong = SendAll(harness, header, file, committed + 1);
  CHECK(Outcome(wrong) == "OUT_OF_RANGE OFFSET_MISMATCH");
  CHECK(MetadataOf(wrong, "committed") == std::to_string(committed));
  UploadCall call(harness.client(), header);
  call.SendRest(file, committed);
  REQUIRE(Outcome(call.Finish()) == "OK");
  CHECK(harness.Download(call.response().image().id()) == file);
  CHECK(call.response().has_job());
  REQUIRE(GetUpload(harness, header.upload_id(), &upload).ok());
  CHECK(upload.finished());
  CHECK(upload.committed_bytes() == file.size());
  CHECK(upload.image().id() == call.response().image().id());
  CHECK(upload.job().id() == call.response().job().id());
}

TEST_CASE("a finished upload answers at once, whatever comes") {
  Harness harness;
  const std::string file = TestFile("moon.png");
  v1::UploadImageRequest::Header header = HeaderOf();
  *header.mutable_operation() = Equalize();
  UploadCall first(harness.client(), header);
  first.SendRest(file);
  REQUIRE(first.Finish().ok());
  UploadCall again(harness.client(), header);
  SECTION("nothing") {}
  SECTION("the same") { again.SendRest(file); }
  SECTION("something else") { again.SendRest(std::string(5 << 20, 'x')); }
  CHECK(Outcome(again.FinishOpen()) == "OK");
  CHECK(again.response().image().id() == first.response().image().id());
  CHECK(again.response().job().id() == first.response().job().id());
  CHECK(harness.BlobFiles().size() == 1);

  header.set_name("other.png");
  CHECK(Outcome(SendAll(harness, header, file)) == "ALREADY_EXISTS UPLOAD_ID_REUSED");
  header.set_name("moon.png");
  header.set_size_bytes(file.size());
  CHECK(Outcome(SendAll(harness, header, file)) == "ALREADY_EXISTS UPLOAD_ID_REUSED");
  header.clear_size_bytes();
  header.set_sha256(Sha256Of(file));
  CHECK(Outcome(SendAll(harness, header, file)) == "ALREADY_EXISTS UPLOAD_ID_REUSED");
  header.clear_sha256();
  header.clear_operation();
  const grpc::Status status = SendAll(harness, header, file);
  CHECK(Outcome(status) == "ALREADY_EXISTS UPLOAD_ID_REUSED");
  CHECK(FieldOf(status) == "operation");
}

TEST_CASE("an upload whose image was deleted") {
  Harness harness;
  const v1::UploadImageRequest::Header header = HeaderOf();
  UploadCall call(harness.client(), header);
  call.SendRest(TestFile("moon.png"));
  REQUIRE(call.Finish().ok());
  v1::DeleteImageRequest remove;
  remove.set_image_id(call.response().image().id());
  v1::DeleteImageResponse removed;
  REQUIRE(Call(harness.client(), &Stub::DeleteImage, remove, &removed).ok());
  v1::GetUploadResponse upload;
  CHECK(Outcome(GetUpload(harness, header.upload_id(), &upload)) == "NOT_FOUND IMAGE_NOT_FOUND");
  CHECK(Outcome(SendAll(harness, header, TestFile("moon.png"))) == "NOT_FOUND IMAGE_NOT_FOUND");
}

TEST_CASE("two calls cannot send one upload") {
  Harness harness;
  const std::string file = TestFile("moon.png");
  const v1::UploadImageRequest::Header header = HeaderOf();
  UploadCall first(harness.client(), header);
  REQUIRE(first.SendChunk(0, file.substr(0, 1000)));
  // The first holds it once there is a file.
  REQUIRE(WaitUntil([&] { return !harness.BlobFiles().empty(); }));
  CHECK(Outcome(SendAll(harness, header, file)) == "ABORTED UPLOAD_BUSY");
  first.SendRest(file, 1000);
  CHECK(Outcome(first.Finish()) == "OK");
}

TEST_CASE("a silent upload is ended and can be resumed") {
  Harness harness([](auto& options) { options.upload_idle_timeout = absl::Milliseconds(300); });
  const std::string file = TestFile("moon.png");
  const v1::UploadImageRequest::Header header = HeaderOf();
  UploadCall call(harness.client(), header);
  REQUIRE(call.SendChunk(0, file.substr(0, 1000)));
  const grpc::Status status = call.FinishOpen();
  CHECK(status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  CHECK(status.error_message() == "no chunk came for 300ms");
  REQUIRE(AwaitCommitted(harness, header.upload_id(), 1000));
  REQUIRE(WaitUntil([&] {
    UploadCall again(harness.client(), header);
    again.SendRest(file, 1000);
    return again.Finish().ok();
  }));
}

// Calls `send` again and again until the server has ended the call.
bool SendUntilEnded(const std::function<bool()>& send) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (send()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

TEST_CASE("empty chunks do not keep an upload alive") {
  Harness harness([](auto& options) { options.upload_idle_timeout = absl::Milliseconds(300); });
  const v1::UploadImageRequest::Header header = HeaderOf();
  UploadCall call(harness.client(), header);
  REQUIRE(call.SendChunk(0, TestFile("moon.png").substr(0, 1000)));
  REQUIRE(SendUntilEnded([&] { return call.SendChunk(1000, ""); }));
  CHECK(call.FinishOpen().error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  CHECK(AwaitCommitted(harness, header.upload_id(), 1000));
}

TEST_CASE("an upload that only drips is ended") {
  Harness harness([](auto& options) {
    options.min_upload_rate = 1 << 30;
    options.upload_rate_window = absl::Milliseconds(200);
  });
  const std::string file = TestFile("moon.png");
  const v1::UploadImageRequest::Header header = HeaderOf();
  UploadCall call(harness.client(), header);
  uint64_t offset = 0;
  REQUIRE(SendUntilEnded([&] {
    const bool sent = offset < file.size() && call.SendChunk(offset, file.substr(offset, 1));
    ++offset;
    return sent;
  }));
  const grpc::Status status = call.FinishOpen();
  CHECK(Outcome(status) == "DEADLINE_EXCEEDED IDLE_TIMEOUT");
  CHECK(!MetadataOf(status, "limit").empty());
  CHECK(!MetadataOf(status, "actual").empty());
  v1::GetUploadResponse upload;
  REQUIRE(GetUpload(harness, header.upload_id(), &upload).ok());
  CHECK(!upload.finished());
}

TEST_CASE("a damaged chunk is not stored, those before it are") {
  Harness harness;
  const std::string file = TestFile("moon.png");
  const v1::UploadImageRequest::Header header = HeaderOf();
  UploadCall call(harness.client(), header);
  REQUIRE(call.SendChunk(0, file.substr(0, 1000)));
  v1::UploadImageRequest message;
  message.mutable_chunk()->set_data(file.substr(1000, 1000));
  rpc::SealChunk(1000, *message.mutable_chunk());
  (*message.mutable_chunk()->mutable_data())[7] ^= 1;
  call.Send(message);
  CHECK(Outcome(call.FinishOpen()) == "DATA_LOSS CHECKSUM_MISMATCH");
  REQUIRE(AwaitCommitted(harness, header.upload_id(), 1000));
  CHECK(Outcome(SendAll(harness, header, file, 1000)) == "OK");
}

TEST_CASE("a chunk beyond the limit") {
  Harness harness;
  UploadCall call(harness.client(), HeaderOf());
  call.SendChunk(0, std::string((1 << 20) + 1, 'x'));
  CHECK(Outcome(call.FinishOpen()) == "INVALID_ARGUMENT CHUNK_TOO_LARGE");
}

TEST_CASE("wrong checksums and sizes") {
  Harness harness;
  const std::string file = TestFile("moon.png");
  v1::UploadImageRequest::Header header = HeaderOf();
  v1::GetUploadResponse upload;
  SECTION("a wrong checksum starts again at 0") {
    header.set_sha256(Sha256Of("another"));
    const grpc::Status status = SendAll(harness, header, file);
    CHECK(Outcome(status) == "DATA_LOSS CHECKSUM_MISMATCH");
    CHECK(!MetadataOf(status, "expected").empty());
    CHECK(!MetadataOf(status, "actual").empty());
    REQUIRE(GetUpload(harness, header.upload_id(), &upload).ok());
    CHECK(upload.committed_bytes() == 0);
    CheckNothing(harness);
  }
  SECTION("too few bytes stay, to be continued") {
    header.set_size_bytes(file.size());
    const grpc::Status status = SendAll(harness, header, file.substr(0, 5000));
    CHECK(Outcome(status) == "DATA_LOSS SIZE_MISMATCH");
    CHECK(MetadataOf(status, "expected") == std::to_string(file.size()));
    CHECK(MetadataOf(status, "actual") == "5000");
    REQUIRE(AwaitCommitted(harness, header.upload_id(), 5000));
    CHECK(Outcome(SendAll(harness, header, file, 5000)) == "OK");
  }
  SECTION("too many bytes are refused when they come") {
    header.set_size_bytes(1000);
    UploadCall call(harness.client(), header);
    call.SendChunk(0, file.substr(0, 1000));
    call.SendChunk(1000, "x");
    CHECK(Outcome(call.FinishOpen()) == "DATA_LOSS SIZE_MISMATCH");
    CheckNothing(harness);
  }
}

TEST_CASE("files that are too large are refused at once") {
  Harness harness([](auto& options) { options.max_upload_bytes = 10'000; });
  v1::UploadImageRequest::Header header = HeaderOf();
  SECTION("announced") {
    header.set_size_bytes(10'001);
    UploadCall call(harness.client(), header);
    const grpc::Status status = call.FinishOpen();
    CHECK(Outcome(status) == "INVALID_ARGUMENT UPLOAD_TOO_LARGE");
    CHECK(FieldOf(status) == "header.size_bytes");
    CHECK(MetadataOf(status, "limit") == "10000");
    CHECK(MetadataOf(status, "actual") == "10001");
  }
  SECTION("not announced") {
    UploadCall call(harness.client(), header);
    call.SendRest(TestFile("moon.png"), 0, 6000);
    CHECK(Outcome(call.FinishOpen()) == "INVALID_ARGUMENT UPLOAD_TOO_LARGE");
  }
  v1::GetUploadResponse upload;
  CHECK(WaitUntil([&] {
    return Outcome(GetUpload(harness, header.upload_id(), &upload)) == "NOT_FOUND UPLOAD_NOT_FOUND";
  }));
  CheckNothing(harness);
}

TEST_CASE("what is no image leaves nothing behind") {
  Harness harness([](auto& options) { options.decode.max_pixels = 300'000; });
  struct Case {
    const char* what;
    std::string file;
    const char* outcome;
  };
  const Case cases[] = {
      {"nothing", "", "INVALID_ARGUMENT NOT_AN_IMAGE"},
      {"words", "no image at all", "INVALID_ARGUMENT NOT_AN_IMAGE"},
      {"cut off", TestFile("moon.png").substr(0, 20), "INVALID_ARGUMENT IMAGE_TRUNCATED"},
      {"too many pixels, all there", TestFile("retina.jpg"), "INVALID_ARGUMENT IMAGE_TOO_LARGE"},
      {"too many pixels, the beginning", TestFile("retina.jpg").substr(0, 5000),
       "INVALID_ARGUMENT IMAGE_TOO_LARGE"},
  };
  for (const Case& bad : cases) {
    INFO(bad.what);
    v1::UploadImageRequest::Header header = HeaderOf();
    *header.mutable_operation() = Equalize();
    CHECK(Outcome(SendAll(harness, header, bad.file)) == bad.outcome);
    v1::GetUploadResponse upload;
    CHECK(Outcome(GetUpload(harness, header.upload_id(), &upload)) == "NOT_FOUND UPLOAD_NOT_FOUND");
    CheckNothing(harness);
  }
}

TEST_CASE("the id of a refused upload is free again") {
  Harness harness;
  const v1::UploadImageRequest::Header header = HeaderOf();
  REQUIRE(Outcome(SendAll(harness, header, "words")) == "INVALID_ARGUMENT NOT_AN_IMAGE");
  CHECK(Outcome(SendAll(harness, header, TestFile("moon.png"))) == "OK");
}

TEST_CASE("10 GB of something else are refused after the first chunks") {
  Harness harness;
  v1::UploadImageRequest::Header header = HeaderOf();
  header.set_size_bytes(10ull << 30);
  UploadCall call(harness.client(), header);
  const std::string junk(1 << 20, 'j');
  uint64_t sent = 0;
  while (sent < 1ull << 30 && call.SendChunk(sent, junk)) sent += junk.size();
  CHECK(sent < 100ull << 20);
  CHECK(Outcome(call.FinishOpen()) == "INVALID_ARGUMENT NOT_AN_IMAGE");
  CheckNothing(harness);
}

TEST_CASE("operations are checked at the door") {
  Harness harness;
  const std::string file = TestFile("moon.png");
  v1::UploadImageRequest::Header header = HeaderOf();
  v1::Operation& operation = *header.mutable_operation();
  SECTION("whatever the image") {
    operation.mutable_equalize()->set_strength(2);
    const grpc::Status status = SendAll(harness, header, file);
    CHECK(Outcome(status) == "INVALID_ARGUMENT BAD_PARAMETER");
    CHECK(FieldOf(status) == "operation.equalize.strength");
  }
  SECTION("against the image") {
    operation.mutable_equalize()->set_nodata(256);
    const grpc::Status status = SendAll(harness, header, file);
    CHECK(Outcome(status) == "INVALID_ARGUMENT BAD_PARAMETER");
    CHECK(FieldOf(status) == "operation.equalize.nodata");
  }
  SECTION("a thumbnail") {
    operation.mutable_thumbnail()->set_width(100);
    const grpc::Status status = SendAll(harness, header, file);
    CHECK(Outcome(status) == "INVALID_ARGUMENT BAD_PARAMETER");
    CHECK(FieldOf(status) == "operation.thumbnail.height");
  }
  SECTION("analyze") {
    operation.mutable_analyze();
    CHECK(Outcome(SendAll(harness, header, file)) == "UNIMPLEMENTED NOT_OFFERED");
  }
  SECTION("none") {
    CHECK(Outcome(SendAll(harness, header, file)) == "INVALID_ARGUMENT UNKNOWN_OPERATION");
  }
  SECTION("one of a newer version") {
    // Field 99, an empty message.
    REQUIRE(operation.ParseFromString(std::string("\x9a\x06\x00", 3)));
    CHECK(Outcome(SendAll(harness, header, file)) == "UNIMPLEMENTED UNKNOWN_OPERATION");
  }
  SECTION("a parameter of a newer version") {
    REQUIRE(operation.mutable_equalize()->ParseFromString(std::string("\x98\x06\x01", 3)));
    CHECK(Outcome(SendAll(harness, header, file)) == "UNIMPLEMENTED UNKNOWN_PARAMETER");
  }
  SECTION("a reference that does not exist") {
    operation.mutable_equalize()->set_method(v1::Equalize::METHOD_MATCH);
    operation.mutable_equalize()->set_reference_image_id("img-none");
    const grpc::Status status = SendAll(harness, header, file);
    CHECK(Outcome(status) == "NOT_FOUND IMAGE_NOT_FOUND");
    CHECK(FieldOf(status) == "operation.equalize.reference_image_id");
  }
  CheckNothing(harness);
}

TEST_CASE("a reference of another depth") {
  Harness harness;
  const std::string deep = harness.Upload(PngOfBits(16), "deep.png").image().id();
  v1::UploadImageRequest::Header header = HeaderOf();
  header.mutable_operation()->mutable_equalize()->set_method(v1::Equalize::METHOD_MATCH);
  header.mutable_operation()->mutable_equalize()->set_reference_image_id(deep);
  const grpc::Status status = SendAll(harness, header, TestFile("moon.png"));
  CHECK(Outcome(status) == "INVALID_ARGUMENT BAD_PARAMETER");
  CHECK(FieldOf(status) == "operation.equalize.reference_image_id");
}

TEST_CASE("names, ids and messages that are wrong") {
  Harness harness;
  const std::string file = TestFile("moon.png");
  v1::UploadImageRequest::Header header = HeaderOf("a/b.png");
  grpc::Status status = SendAll(harness, header, file);
  CHECK(Outcome(status) == "INVALID_ARGUMENT BAD_NAME");
  CHECK(FieldOf(status) == "header.name");
  header = HeaderOf();
  header.set_upload_id("a b");
  status = SendAll(harness, header, file);
  CHECK(Outcome(status) == "INVALID_ARGUMENT BAD_ID");
  CHECK(FieldOf(status) == "header.upload_id");
  header = HeaderOf();
  header.set_sha256("short");
  status = SendAll(harness, header, file);
  CHECK(Outcome(status) == "INVALID_ARGUMENT BAD_CHECKSUM");
  CHECK(FieldOf(status) == "header.sha256");
  v1::GetUploadResponse upload;
  CHECK(Outcome(GetUpload(harness, "a b", &upload)) == "INVALID_ARGUMENT BAD_ID");
  CHECK(Outcome(GetUpload(harness, "none", &upload)) == "NOT_FOUND UPLOAD_NOT_FOUND");

  const auto send = [&](const std::vector<v1::UploadImageRequest>& messages) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    v1::UploadImageResponse response;
    const auto writer = harness.client().UploadImage(&context, &response);
    for (const v1::UploadImageRequest& message : messages) writer->Write(message);
    writer->WritesDone();
    return Outcome(writer->Finish());
  };
  v1::UploadImageRequest first, chunk, finish;
  *first.mutable_header() = HeaderOf();
  chunk.mutable_chunk()->set_data(file);
  finish.mutable_finish();
  CHECK(send({}) == "INVALID_ARGUMENT BAD_MESSAGE_ORDER");
  CHECK(send({chunk}) == "INVALID_ARGUMENT BAD_MESSAGE_ORDER");
  CHECK(send({first, first}) == "INVALID_ARGUMENT BAD_MESSAGE_ORDER");
  CHECK(send({first, {}}) == "INVALID_ARGUMENT BAD_MESSAGE_ORDER");
  CHECK(send({first, finish, chunk}) == "INVALID_ARGUMENT BAD_MESSAGE_ORDER");
  CHECK(send({first, chunk, finish}) == "OK");
}

TEST_CASE("a full queue keeps the upload open until there is room") {
  Harness harness([](auto& options) { options.catalog.max_queued_jobs = 1; });
  const std::string file = TestFile("moon.png");
  v1::UploadImageRequest::Header header = HeaderOf();
  *header.mutable_operation() = Equalize();
  // Begun while there was room.
  UploadCall call(harness.client(), header);
  REQUIRE(call.SendChunk(0, file.substr(0, 1000)));
  REQUIRE(WaitUntil([&] { return !harness.BlobFiles().empty(); }));
  const std::string blocker = harness.UploadToEqualize().job().id();
  call.SendRest(file, 1000);
  const grpc::Status status = call.Finish();
  CHECK(Outcome(status) == "RESOURCE_EXHAUSTED QUEUE_FULL");
  CHECK(HasRetryDelay(status));
  REQUIRE(AwaitCommitted(harness, header.upload_id(), file.size()));
  v1::CancelJobRequest cancel;
  cancel.set_job_id(blocker);
  v1::CancelJobResponse cancelled;
  REQUIRE(Call(harness.client(), &Stub::CancelJob, cancel, &cancelled).ok());
  REQUIRE(Outcome(SendAll(harness, header, file, file.size())) == "OK");
}

TEST_CASE("more uploads than places") {
  Harness harness([](auto& options) {
    options.max_uploads = 1;
    options.max_waiting_uploads = 0;
  });
  UploadCall first(harness.client(), HeaderOf());
  REQUIRE(first.SendChunk(0, "x"));
  REQUIRE(WaitUntil([&] { return !harness.BlobFiles().empty(); }));
  const grpc::Status status = SendAll(harness, HeaderOf(), TestFile("moon.png"));
  CHECK(Outcome(status) == "RESOURCE_EXHAUSTED TOO_MANY_CALLS");
  CHECK(HasRetryDelay(status));
}

TEST_CASE("uploads that nobody continues are removed") {
  Harness harness([](auto& options) { options.upload_retention = absl::Milliseconds(500); });
  const v1::UploadImageRequest::Header header = HeaderOf();
  {
    UploadCall call(harness.client(), header);
    REQUIRE(call.SendChunk(0, TestFile("moon.png").substr(0, 1000)));
    REQUIRE(WaitUntil([&] { return !harness.BlobFiles().empty(); }));
  }
  CHECK(WaitUntil([&] { return harness.BlobFiles().empty(); }));
  v1::GetUploadResponse upload;
  CHECK(Outcome(GetUpload(harness, header.upload_id(), &upload)) == "NOT_FOUND UPLOAD_NOT_FOUND");
}

TEST_CASE("a disk without room") {
  Harness harness([](auto& options) { options.disk_reserve_bytes = 1ull << 60; });
  const grpc::Status status = SendAll(harness, HeaderOf(), TestFile("moon.png"));
  CHECK(Outcome(status) == "RESOURCE_EXHAUSTED DISK_FULL");
  CHECK(!MetadataOf(status, "limit").empty());
  CHECK(!MetadataOf(status, "actual").empty());
  CheckNothing(harness);
}

}  // namespace
}  // namespace histeq::testing
