#include "api/upload.h"

#include <algorithm>
#include <utility>

#include "api/byte_text.h"
#include "api/random_id.h"
#include "api/unary_call.h"
#include "base/error.h"
#include "fmt/format.h"
#include "rpc/chunk.h"
#include "rpc/write_behind.h"
#include "store/sha256.h"

namespace histeq::client {
namespace {

// Tries that end with damaged bytes while the server has not stored more than before.
constexpr int kMaxDamaged = 3;

class Upload {
 public:
  Upload(Client& client, const LocalFile& file, const UploadOptions& options,
         const CallControl& control)
      : connection_(client.connection()),
        file_(file),
        options_(options),
        control_(control),
        patience_(connection_.options, control) {
    header_.set_upload_id(options.upload_id.empty() ? RandomId() : options.upload_id);
    header_.set_name(options.name);
    header_.set_size_bytes(file.size());
    if (options.operation.has_value()) *header_.mutable_operation() = *options.operation;
  }

  absl::StatusOr<v1::UploadImageResponse> Run() {
    bool ask = !options_.upload_id.empty();
    bool resumed = false;
    for (;;) {
      absl::StatusOr<v1::UploadImageResponse> response = Try(ask, resumed);
      if (response.ok()) {
        HISTEQ_RETURN_IF_ERROR(CheckDigest(response->image()));
        return response;
      }
      HISTEQ_RETURN_IF_ERROR(Judge(response.status()));
      ask = resumed = true;
    }
  }

 private:
  // OK: try again.
  absl::Status Judge(const absl::Status& failure) {
    HISTEQ_RETURN_IF_ERROR(control_.token.Check());
    if (!local_failure_.ok()) return local_failure_;
    if (absl::IsDataLoss(failure)) {
      damaged_ = stored_ > stored_before_damage_ ? 1 : damaged_ + 1;
      stored_before_damage_ = std::max(stored_before_damage_, stored_);
      if (damaged_ >= kMaxDamaged) return failure;
      cause_ = "bytes arrived damaged";
      // The digest may be what is wrong.
      digest_.Reset();
      hashed_ = 0;
      patience_.Contact();
      return patience_.Again(absl::AbortedError(std::string(failure.message())));
    }
    if (absl::IsOutOfRange(failure)) {
      cause_ = "the server has another offset";
      return patience_.Again(absl::AbortedError(std::string(failure.message())));
    }
    cause_ = IsConnectionLoss(failure) ? "connection lost" : "the server asks to wait";
    return patience_.Again(failure);
  }

  absl::StatusOr<v1::UploadImageResponse> Try(bool ask, bool resumed) {
    uint64_t offset = 0;
    if (ask) {
      v1::GetUploadRequest request;
      request.set_upload_id(header_.upload_id());
      absl::StatusOr<v1::GetUploadResponse> known =
          CallOnce<v1::GetUploadRequest, v1::GetUploadResponse>(
              connection_, &v1::Frontend::StubInterface::GetUpload, request, patience_, control_,
              connection_.options.stall_timeout);
      if (known.ok()) {
        patience_.Contact();
        if (known->finished()) {
          v1::UploadImageResponse response;
          *response.mutable_image() = std::move(*known->mutable_image());
          if (known->has_job()) *response.mutable_job() = std::move(*known->mutable_job());
          return response;
        }
        offset = known->committed_bytes();
      } else if (!absl::IsNotFound(known.status())) {
        return known.status();
      }
      if (offset > file_.size()) {
        local_failure_ = base::MakeError(
            absl::StatusCode::kFailedPrecondition,
            fmt::format("the server holds {} bytes of a file of {}", offset, file_.size()),
            {.reason = "FILE_CHANGED"});
        return local_failure_;
      }
      Stored(offset);
      if (resumed) {
        control_.Notice(fmt::format("{}; resuming at {} of {}", cause_, ByteText(offset),
                                    ByteText(file_.size())));
      }
    }
    return Send(offset);
  }

  absl::StatusOr<v1::UploadImageResponse> Send(uint64_t offset) {
    HISTEQ_RETURN_IF_ERROR(HashUpTo(offset));
    GuardedCall call(connection_, patience_.remaining(), connection_.options.stall_timeout,
                     control_.token);
    v1::UploadImageResponse response;
    const auto writer = connection_.stub->UploadImage(&call.context(), &response);
    v1::UploadImageRequest message;
    // Once a write fails the call is over, and Finish says why.
    const auto write = [&] {
      call.Begin();
      const bool written = writer->Write(message);
      call.Pause();
      return written;
    };
    *message.mutable_header() = header_;
    // The digest is made while the connection takes the next chunk.
    rpc::WriteBehind hashing([this](std::span<const uint8_t> bytes) {
      digest_.Update(bytes);
      return absl::OkStatus();
    });
    bool open = write();
    while (open && offset < file_.size()) {
      v1::Chunk& chunk = *message.mutable_chunk();
      std::string& data = *chunk.mutable_data();
      data.resize(std::min<uint64_t>(
          std::clamp<size_t>(connection_.options.chunk_bytes, 1, rpc::kMaxChunkBytes),
          file_.size() - offset));
      local_failure_ = file_.ReadAt(offset, {reinterpret_cast<uint8_t*>(data.data()), data.size()});
      if (!local_failure_.ok()) break;
      rpc::SealChunk(offset, chunk);
      const uint64_t end = offset + data.size();
      open = write();
      if (end > hashed_) {
        // After a resumption a chunk may begin among bytes that are in the digest already.
        data.erase(0, hashed_ - offset);
        hashing.Push(data).IgnoreError();
        hashed_ = end;
      }
      offset = end;
      if (!open) break;
      patience_.Contact();
      if (options_.sent) options_.sent(offset, file_.size());
    }
    hashing.Flush().IgnoreError();
    if (open && local_failure_.ok()) local_failure_ = file_.CheckUnchanged();
    if (!local_failure_.ok()) {
      // Without a finish nothing becomes of what was sent.
      call.Cancel();
      writer->Finish();
      return local_failure_;
    }
    if (open) {
      message.mutable_finish()->set_sha256(store::ToBytes(digest_.Digest()));
      if (write()) writer->WritesDone();
    }
    call.Begin();
    HISTEQ_RETURN_IF_ERROR(call.Result(writer->Finish()));
    return response;
  }

  // At least the bytes before `offset` are in the digest.
  absl::Status HashUpTo(uint64_t offset) {
    std::string buffer;
    while (hashed_ < offset) {
      HISTEQ_RETURN_IF_ERROR(control_.token.Check());
      buffer.resize(std::min<uint64_t>(rpc::kMaxChunkBytes, offset - hashed_));
      const std::span<uint8_t> bytes(reinterpret_cast<uint8_t*>(buffer.data()), buffer.size());
      local_failure_ = file_.ReadAt(hashed_, bytes);
      HISTEQ_RETURN_IF_ERROR(local_failure_);
      digest_.Update(bytes);
      hashed_ += buffer.size();
    }
    return absl::OkStatus();
  }

  // What the server registered is this file, also when it answered before all was sent.
  absl::Status CheckDigest(const v1::Image& image) {
    HISTEQ_RETURN_IF_ERROR(HashUpTo(file_.size()));
    HISTEQ_RETURN_IF_ERROR(file_.CheckUnchanged());
    if (image.sha256() == store::ToBytes(digest_.Digest())) return absl::OkStatus();
    return base::MakeError(absl::StatusCode::kDataLoss,
                           "what the server stored is not this file: the SHA-256 differs",
                           {.reason = "CHECKSUM_MISMATCH"});
  }

  void Stored(uint64_t bytes) {
    if (bytes > stored_) {
      stored_ = bytes;
      patience_.Progress();
    }
    if (options_.sent) options_.sent(bytes, file_.size());
  }

  Connection& connection_;
  const LocalFile& file_;
  const UploadOptions& options_;
  const CallControl& control_;
  Patience patience_;
  v1::UploadImageRequest::Header header_;
  store::Sha256 digest_;
  // The digest is that of the bytes [0, hashed_).
  uint64_t hashed_ = 0;
  // The most that the server ever had.
  uint64_t stored_ = 0;
  uint64_t stored_before_damage_ = 0;
  int damaged_ = 0;
  absl::Status local_failure_;
  std::string cause_;
};

}  // namespace

absl::StatusOr<v1::UploadImageResponse> UploadFile(Client& client, const LocalFile& file,
                                                   const UploadOptions& options,
                                                   const CallControl& control) {
  HISTEQ_RETURN_IF_ERROR(CheckImageName(options.name));
  HISTEQ_RETURN_IF_ERROR(file.CheckUnchanged());
  return Upload(client, file, options, control).Run();
}

}  // namespace histeq::client
