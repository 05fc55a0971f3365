// Target histograms of Method::kMatch.
#ifndef HISTEQ_SRC_DISTRIBUTION_H_
#define HISTEQ_SRC_DISTRIBUTION_H_

#include <cstdint>

#include "histeq/parameters.h"

namespace histeq::internal {

// Fills weights[0..largest] with the distribution's density, in integers of up to 48 bits; the same
// on every machine. largest + 1 is a power of two. `distribution` is not kNone.
void FillDistribution(Distribution distribution, uint32_t largest, uint64_t* weights);

}  // namespace histeq::internal

#endif  // HISTEQ_SRC_DISTRIBUTION_H_
