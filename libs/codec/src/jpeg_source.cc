#include "jpeg_source.h"

#include <fmt/format.h>
#include <jerror.h>

#include "base/error.h"

namespace histeq::codec {
namespace {

absl::Status Truncated(uint64_t bytes) {
  return base::MakeError(
      absl::StatusCode::kInvalidArgument,
      fmt::format("the JPEG ends after {} bytes, in the middle", bytes),
      {.reason = "IMAGE_TRUNCATED", .metadata = {{"actual", std::to_string(bytes)}}});
}

absl::Status HeaderTooLarge(uint64_t limit, uint64_t actual) {
  return base::MakeError(
      absl::StatusCode::kInvalidArgument,
      fmt::format("the JPEG has {} bytes before its first scan or more; the limit is {}", actual,
                  limit),
      {.reason = "METADATA_TOO_LARGE",
       .metadata = {{"limit", std::to_string(limit)}, {"actual", std::to_string(actual)}}});
}

// Apart, so that no destructor waits in the frame that longjmp leaves.
absl::Status Refill(JpegSource& source) {
  if (source.in_header && source.taken_bytes > source.header_limit_bytes)
    return HeaderTooLarge(source.header_limit_bytes, source.taken_bytes);
  const absl::StatusOr<size_t> n = source.bytes->Read(source.buffer);
  if (!n.ok()) return n.status();
  if (*n == 0) return Truncated(source.taken_bytes);
  source.taken_bytes += *n;
  source.manager.next_input_byte = source.buffer.data();
  source.manager.bytes_in_buffer = *n;
  return absl::OkStatus();
}

bool RefillOrKeep(j_decompress_ptr cinfo) {
  auto& errors = *reinterpret_cast<JpegErrors*>(cinfo->err);
  errors.status = Refill(*reinterpret_cast<JpegSource*>(cinfo->src));
  return errors.status.ok();
}

boolean Fill(j_decompress_ptr cinfo) {
  if (!RefillOrKeep(cinfo)) longjmp(reinterpret_cast<JpegErrors*>(cinfo->err)->jump, 1);
  return TRUE;
}

void Skip(j_decompress_ptr cinfo, long count) {
  while (count > static_cast<long>(cinfo->src->bytes_in_buffer)) {
    count -= static_cast<long>(cinfo->src->bytes_in_buffer);
    Fill(cinfo);
  }
  if (count > 0) {
    cinfo->src->next_input_byte += count;
    cinfo->src->bytes_in_buffer -= static_cast<size_t>(count);
  }
}

void Nothing(j_decompress_ptr) {}

}  // namespace

void InitJpegSource(JpegSource& source, base::ByteSource& bytes, uint64_t header_limit_bytes) {
  source.bytes = &bytes;
  source.header_limit_bytes = header_limit_bytes;
  source.manager.init_source = Nothing;
  source.manager.fill_input_buffer = Fill;
  source.manager.skip_input_data = Skip;
  source.manager.resync_to_restart = jpeg_resync_to_restart;
  source.manager.term_source = Nothing;
  source.manager.next_input_byte = nullptr;
  source.manager.bytes_in_buffer = 0;
}

}  // namespace histeq::codec
