#include "remote_call.h"

#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "rpc/chunk.h"
#include "rpc/proto_convert.h"

namespace histeq::rpc {
namespace {

absl::Status BadAnswer(const std::string& what) {
  return base::MakeError(absl::StatusCode::kDataLoss,
                         "the worker's answer cannot be right: " + what, {.reason = "BAD_ANSWER"});
}

// Every operation of a stream, with a deadline.
template <typename Stream, typename Message>
bool Write(GuardedCall& call, Stream& stream, const Message& message,
           const grpc::WriteOptions& options = {}) {
  call.Begin();
  const bool written = stream.Write(message, options);
  call.Pause();
  return written;
}
template <typename Stream, typename Message>
bool Read(GuardedCall& call, Stream& stream, Message& message) {
  call.Begin();
  const bool read = stream.Read(&message);
  call.Pause();
  return read;
}
template <typename Stream>
absl::Status Finish(GuardedCall& call, Stream& stream) {
  call.Begin();
  return call.Result(stream.Finish());
}

// Ends a call whose answer is not wanted any more.
template <typename Stream>
absl::Status Drop(GuardedCall& call, Stream& stream, absl::Status why) {
  call.Cancel();
  call.Begin();
  stream.Finish();
  return why;
}

// Adds a chunk's bytes to `to`, which ends up `total` long.
absl::Status Append(const v1::Chunk& chunk, uint64_t total, std::vector<uint8_t>& to) {
  if (absl::Status checked = CheckChunk(chunk, to.size()); !checked.ok()) {
    return BadAnswer(std::string(checked.message()));
  }
  const std::span<const uint8_t> bytes = BytesOf(chunk);
  if (bytes.size() > total - to.size()) {
    return BadAnswer(fmt::format("more than the {} bytes that were announced", total));
  }
  to.insert(to.end(), bytes.begin(), bytes.end());
  return absl::OkStatus();
}

void FillChunk(std::span<const uint8_t> bytes, uint64_t offset, v1::Chunk& chunk) {
  chunk.mutable_data()->assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  SealChunk(offset, chunk);
}

// Each result has bytes, and together they are the file. No sum can wrap: each is at most the rest.
absl::Status CheckSizes(uint32_t results, const engine::ProcessedImage& image) {
  if (image.result_bytes.size() != results) {
    return BadAnswer(fmt::format("{} results instead of {}", image.result_bytes.size(), results));
  }
  uint64_t left = image.file.size();
  for (const uint64_t bytes : image.result_bytes) {
    if (bytes == 0 || bytes > left)
      return BadAnswer("sizes of results that are not those of its bytes");
    left -= bytes;
  }
  return left == 0 ? absl::OkStatus() : BadAnswer("bytes that belong to no result");
}

}  // namespace

std::string MappingId(const Mapping& mapping) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(mapping.data().data(), mapping.data().size(), reinterpret_cast<uint8_t*>(digest.data()));
  return digest;
}

absl::StatusOr<codec::Fragment> CallTransformSegment(v1::Worker::StubInterface& stub,
                                                     GuardedCall& call,
                                                     const TransformRequest& request,
                                                     v1::TransformSegmentRequest& message,
                                                     absl::Status& read_error) {
  const auto stream = stub.TransformSegment(&call.context());
  // Once a write fails the call is over, and Finish says why.
  bool open;
  {
    v1::TransformSegmentRequest first;
    *first.mutable_header() = request.header;
    open = Write(call, *stream, first);
  }
  if (request.mapping != nullptr) {
    const std::span<const uint8_t> bytes = request.mapping->data();
    v1::TransformSegmentRequest part;
    part.mutable_mapping()->set_size_bytes(bytes.size());
    for (size_t at = 0; open && at < bytes.size(); at += kMaxChunkBytes) {
      FillChunk(bytes.subspan(at, std::min(kMaxChunkBytes, bytes.size() - at)), at,
                *part.mutable_mapping()->mutable_chunk());
      open = Write(call, *stream, part);
    }
  }
  const uint64_t sample_bytes = request.header.segment().pixel_bytes();
  v1::Chunk& chunk = *message.mutable_chunk();
  for (uint64_t at = 0; open && at < sample_bytes;) {
    const size_t length = std::min<uint64_t>(request.chunk_bytes, sample_bytes - at);
    std::string& data = *chunk.mutable_data();
    data.resize(length);
    read_error = request.read(at, {reinterpret_cast<uint8_t*>(data.data()), length});
    if (!read_error.ok()) return Drop(call, *stream, read_error);
    SealChunk(at, chunk);
    at += length;
    open = Write(call, *stream, message);
  }
  if (open) stream->WritesDone();

  v1::TransformSegmentResponse response;
  if (!Read(call, *stream, response)) {
    const absl::Status status = Finish(call, *stream);
    return status.ok() ? BadAnswer("nothing") : status;
  }
  if (!response.has_header()) return Drop(call, *stream, BadAnswer("it has no header"));
  const v1::TransformSegmentResponse::Header header = response.header();
  if (header.fragment_bytes() == 0 || header.fragment_bytes() > request.max_fragment_bytes) {
    return Drop(call, *stream,
                BadAnswer(fmt::format("a fragment of {} bytes", header.fragment_bytes())));
  }
  if (header.raw_bytes() != request.raw_bytes) {
    return Drop(call, *stream,
                BadAnswer(fmt::format("a fragment of {} filtered bytes instead of {}",
                                      header.raw_bytes(), request.raw_bytes)));
  }
  codec::Fragment fragment;
  fragment.adler32 = header.adler32();
  fragment.raw_bytes = header.raw_bytes();
  fragment.bytes.reserve(std::min(header.fragment_bytes(), sample_bytes));
  while (Read(call, *stream, response)) {
    const absl::Status appended =
        response.has_chunk() ? Append(response.chunk(), header.fragment_bytes(), fragment.bytes)
                             : BadAnswer("two headers");
    if (!appended.ok()) return Drop(call, *stream, appended);
  }
  HISTEQ_RETURN_IF_ERROR(Finish(call, *stream));
  if (fragment.bytes.size() != header.fragment_bytes()) {
    return BadAnswer(fmt::format("{} of {} bytes", fragment.bytes.size(), header.fragment_bytes()));
  }
  return fragment;
}

absl::StatusOr<engine::ProcessedImage> CallProcessImage(v1::Worker::StubInterface& stub,
                                                        GuardedCall& call,
                                                        const ProcessRequest& request) {
  // The call, its header, a small file and the half-close leave in one piece.
  call.context().set_initial_metadata_corked(true);
  const auto stream = stub.ProcessImage(&call.context());
  v1::ProcessImageRequest message;
  *message.mutable_header() = request.header;
  bool open = Write(call, *stream, message, grpc::WriteOptions().set_buffer_hint());
  for (size_t at = 0; open && at < request.file.size();) {
    const size_t length = std::min(request.chunk_bytes, request.file.size() - at);
    FillChunk(request.file.subspan(at, length), at, *message.mutable_chunk());
    at += length;
    grpc::WriteOptions options;
    if (at == request.file.size()) options.set_last_message();
    open = Write(call, *stream, message, options);
  }

  engine::ProcessedImage result;
  bool finished = false;
  v1::ProcessImageResponse response;
  while (Read(call, *stream, response)) {
    if (finished) return Drop(call, *stream, BadAnswer("messages after the last"));
    if (response.has_chunk()) {
      const absl::Status appended = Append(response.chunk(), request.max_result_bytes, result.file);
      if (!appended.ok()) return Drop(call, *stream, appended);
      continue;
    }
    if (!response.has_finish()) return Drop(call, *stream, BadAnswer("an empty message"));
    finished = true;
    if (response.finish().size_bytes() != result.file.size()) {
      return Drop(call, *stream,
                  BadAnswer(fmt::format("{} of {} bytes", result.file.size(),
                                        response.finish().size_bytes())));
    }
    if (response.finish().has_statistics()) {
      result.statistics = FromProto(response.finish().statistics());
    }
    result.result_bytes.assign(response.finish().result_bytes().begin(),
                               response.finish().result_bytes().end());
  }
  HISTEQ_RETURN_IF_ERROR(Finish(call, *stream));
  const bool analyze = request.header.operation().has_analyze();
  if (!finished || result.statistics.has_value() != analyze || result.file.empty() != analyze) {
    return BadAnswer("a part of it is missing");
  }
  // A worker may leave the size of a single result out.
  if (request.results == 1 && result.result_bytes.empty())
    result.result_bytes = {result.file.size()};
  HISTEQ_RETURN_IF_ERROR(CheckSizes(request.results, result));
  return result;
}

}  // namespace histeq::rpc
