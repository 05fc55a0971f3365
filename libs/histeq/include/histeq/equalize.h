// Count, map, apply: the three calls that equalize an image, whole or in segments.
//
// Every target of the processor, and every cut of the image into runs of rows, gives the same
// bytes.
#ifndef HISTEQ_EQUALIZE_H_
#define HISTEQ_EQUALIZE_H_

#include <cstdint>
#include <span>

#include "histeq/mapping.h"
#include "histeq/parameters.h"
#include "histeq/pixel_view.h"
#include "histeq/statistics.h"

namespace histeq {

// Adds `rows` of the image to the statistics. `first_row` is where they lie in the image; first_row
// + rows.rows <= shape.height. Batches of many rows are faster than single rows. Several threads
// may count different rows into different Statistics. Neither allocates nor fails; `statistics` is
// valid() and made for these parameters and shape.
void AccumulateRows(const EqualizeParameters& parameters, const ImageShape& shape, ConstRows rows,
                    uint32_t first_row, Statistics& statistics);

// As above, leaving out pixels whose byte in `mask` (one byte a pixel, as many rows) is 0.
void AccumulateRows(const EqualizeParameters& parameters, const ImageShape& shape, ConstRows rows,
                    ConstRows mask, uint32_t first_row, Statistics& statistics);

// As above, for a planar picture: `planes[c]` holds channel c alone, alpha included, as many as
// shape.channels, each with as many rows. `mask` without data leaves out nothing.
void AccumulatePlanes(const EqualizeParameters& parameters, const ImageShape& shape,
                      std::span<const ConstRows> planes, ConstRows mask, uint32_t first_row,
                      Statistics& statistics);

// The mapping for the whole image's statistics. Not valid() when memory is short or `statistics`
// has another size. An image of one value, or of none, is mapped to itself; with Method::kClahe an
// image of one value becomes what OpenCV makes of it. Thread-safe.
Mapping ComputeMapping(const EqualizeParameters& parameters, const ImageShape& shape,
                       const Statistics& statistics);

// Writes the mapped samples of `in` to `out`, which is the same memory or does not overlap it; same
// number of rows. `mapping` is valid() and made for these parameters and shape. Neither allocates
// nor fails. Thread-safe.
void ApplyRows(const EqualizeParameters& parameters, const ImageShape& shape,
               const Mapping& mapping, ConstRows in, Rows out, uint32_t first_row);

// As above, for a planar picture: `in[c]` and `out[c]` hold channel c alone, as many as
// shape.channels.
void ApplyPlanes(const EqualizeParameters& parameters, const ImageShape& shape,
                 const Mapping& mapping, std::span<const ConstRows> in, std::span<const Rows> out,
                 uint32_t first_row);

}  // namespace histeq

#endif  // HISTEQ_EQUALIZE_H_
