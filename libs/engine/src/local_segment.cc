#include "local_segment.h"

#include <span>
#include <utility>

#include "base/status_macros.h"

namespace histeq::engine {

absl::Status TransformAndDeliver(const TransformSpec& spec, SegmentExchange& exchange,
                                 uint32_t index, std::vector<uint8_t>& buffer,
                                 const base::CancelToken& token) {
  const Segment segment = exchange.at(index);
  std::span<uint8_t> samples = exchange.InPlace(index);
  if (samples.empty()) {
    buffer.resize(codec::SegmentBytes(spec.layout, segment.rows));
    samples = buffer;
    HISTEQ_RETURN_IF_ERROR(exchange.Read(index, 0, samples));
  }
  HISTEQ_ASSIGN_OR_RETURN(codec::Fragment fragment,
                          TransformSegment(spec, segment, samples, token));
  return exchange.Deliver(index, std::move(fragment));
}

}  // namespace histeq::engine
