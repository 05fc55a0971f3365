#include "jpeg_markers.h"

#include <fmt/format.h>
#include <jerror.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "base/error.h"
#include "jpeg_client.h"

namespace histeq::codec {
namespace {

// What a kept marker costs in memory beside its bytes.
constexpr uint64_t kPieceBytes = 64;
// APP0 and APP14 stay with libjpeg, which learns the colours from them. They are never kept: the
// first is written anew, the second describes the components of the source.
constexpr int kAdobe = JPEG_APP0 + 14;

absl::Status TooLarge(const JpegMarkers& markers) {
  return base::MakeError(
      absl::StatusCode::kInvalidArgument,
      fmt::format("the JPEG has {} bytes beside its pixels or more; the limit is {}",
                  markers.used_bytes, markers.limit_bytes),
      {.reason = "METADATA_TOO_LARGE",
       .metadata = {{"limit", std::to_string(markers.limit_bytes)},
                    {"actual", std::to_string(markers.used_bytes)}}});
}

// A directory of further images behind this one, which the output does not have.
bool IsMultiPicture(const Metadata::Piece& piece) {
  using namespace std::string_view_literals;
  constexpr auto kName = "MPF\0"sv;
  return piece.marker == JPEG_APP0 + 2 && piece.bytes.size() >= kName.size() &&
         std::memcmp(piece.bytes.data(), kName.data(), kName.size()) == 0;
}

// The functions below are apart, so that no destructor waits in the frame that longjmp leaves.
bool Begin(JpegMarkers& markers, int marker, size_t size, absl::Status& status) {
  markers.used_bytes += size + kPieceBytes;
  if (markers.used_bytes > markers.limit_bytes) {
    status = TooLarge(markers);
    return false;
  }
  markers.pieces.push_back({.marker = marker, .bytes = std::vector<uint8_t>(size)});
  return true;
}

void End(JpegMarkers& markers) {
  if (IsMultiPicture(markers.pieces.back())) markers.pieces.pop_back();
}

void Take(j_decompress_ptr cinfo, uint8_t* out, size_t size) {
  jpeg_source_mgr& source = *cinfo->src;
  while (size > 0) {
    if (source.bytes_in_buffer == 0) (*source.fill_input_buffer)(cinfo);
    const size_t n = std::min(size, source.bytes_in_buffer);
    std::memcpy(out, source.next_input_byte, n);
    source.next_input_byte += n;
    source.bytes_in_buffer -= n;
    out += n;
    size -= n;
  }
}

boolean Keep(j_decompress_ptr cinfo) {
  auto& errors = *reinterpret_cast<JpegErrors*>(cinfo->err);
  JpegMarkers& markers = *static_cast<JpegClient*>(cinfo->client_data)->markers;
  uint8_t head[2];
  Take(cinfo, head, sizeof(head));
  const size_t length = size_t{head[0]} << 8 | head[1];
  if (length < sizeof(head)) ERREXIT(cinfo, JERR_BAD_LENGTH);
  if (!Begin(markers, cinfo->unread_marker, length - sizeof(head), errors.status))
    longjmp(errors.jump, 1);
  Take(cinfo, markers.pieces.back().bytes.data(), length - sizeof(head));
  End(markers);
  return TRUE;
}

template <typename F>
void ForEachKept(F f) {
  for (int marker = JPEG_APP0 + 1; marker < JPEG_APP0 + 16; ++marker)
    if (marker != kAdobe) f(marker);
  f(JPEG_COM);
}

}  // namespace

void KeepJpegMarkers(j_decompress_ptr cinfo) {
  ForEachKept([&](int marker) { jpeg_set_marker_processor(cinfo, marker, Keep); });
}

void SkipJpegMarkers(j_decompress_ptr cinfo) {
  ForEachKept([&](int marker) { jpeg_save_markers(cinfo, marker, 0); });
}

}  // namespace histeq::codec
