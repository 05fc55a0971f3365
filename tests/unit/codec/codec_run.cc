#include "codec_run.h"

#include "base/error.h"
#include "base/status_macros.h"
#include "memory_stream.h"

namespace histeq::codec {

absl::StatusOr<Decoded> DecodeAll(std::span<const uint8_t> file, const DecodeOptions& options,
                                  uint32_t units, size_t piece) {
  MemorySource source(file, piece);
  HISTEQ_ASSIGN_OR_RETURN(auto decoder, OpenDecoder(source, options));
  Decoded out{decoder->info(), decoder->layout(), decoder->encode_spec(), {}, {}};
  HISTEQ_RETURN_IF_ERROR(ValidateEncodeSpec(out.spec, out.layout));
  const uint32_t step =
      units == 0 ? out.info.height : units * FragmentRowMultiple(out.spec, out.layout);
  for (uint32_t row = 0; row < out.info.height; row += step) {
    DecodedSegment segment{row, std::min(step, out.info.height - row), {}};
    // What the decoder does not write must not matter.
    segment.bytes.assign(SegmentBytes(out.layout, segment.rows), 0xA5);
    HISTEQ_RETURN_IF_ERROR(decoder->ReadRows(segment.rows, segment.bytes));
    out.segments.push_back(std::move(segment));
  }
  HISTEQ_RETURN_IF_ERROR(decoder->Finish());
  out.metadata = decoder->metadata();
  return out;
}

absl::StatusOr<std::vector<uint8_t>> EncodeAll(const Decoded& decoded) {
  MemorySink sink;
  HISTEQ_ASSIGN_OR_RETURN(auto stitcher, CreateStitcher(decoded.spec, decoded.metadata, sink));
  for (const DecodedSegment& segment : decoded.segments) {
    HISTEQ_ASSIGN_OR_RETURN(const Fragment fragment,
                            EncodeFragment(decoded.spec, decoded.layout, segment.first_row,
                                           segment.rows, segment.bytes));
    HISTEQ_RETURN_IF_ERROR(stitcher->Append(fragment));
  }
  HISTEQ_RETURN_IF_ERROR(stitcher->Finish());
  return std::move(sink.bytes);
}

std::vector<uint8_t> VisiblePlane(const Decoded& decoded, size_t plane) {
  const PlaneLayout& p = decoded.layout.planes[plane];
  const size_t row_bytes = size_t{p.visible_width} * p.channels * p.bytes_per_sample;
  std::vector<uint8_t> out;
  for (const DecodedSegment& segment : decoded.segments) {
    const uint8_t* base = segment.bytes.data() + PlaneOffset(decoded.layout, plane, segment.rows);
    for (uint64_t r = 0; r < VisiblePlaneRows(decoded.layout, plane, segment.rows); ++r)
      out.insert(out.end(), base + r * PlaneStride(p), base + r * PlaneStride(p) + row_bytes);
  }
  return out;
}

std::string Reason(const absl::Status& status) {
  if (status.ok()) return "OK";
  const auto detail = base::GetErrorDetail(status);
  return absl::StatusCodeToString(status.code()) + " " + (detail ? detail->reason : "");
}

}  // namespace histeq::codec
