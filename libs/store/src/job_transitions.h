#pragma once

// What becomes of a running job whose attempt ended without a result. No storage, no clock.

#include "absl/time/time.h"
#include "store/catalog.h"

namespace histeq::store {

// The wait before the next attempt after `attempts` failed ones; `random` is in [0, 1).
absl::Duration BackoffAfter(uint32_t attempts, const CatalogLimits& limits, double random);

// `job` after its holder gave it up.
JobRecord AfterFailure(JobRecord job, FailOutcome outcome, const JobError& error,
                       const CatalogLimits& limits, absl::Time now, double random);

// `job` after an attempt that failed because of the place of its source, when it is to read the
// same bytes elsewhere.
JobRecord AfterFailureOfPlace(JobRecord job, const JobError& error);

// `job` after its lease ran out.
JobRecord AfterExpiry(JobRecord job, const CatalogLimits& limits, absl::Time now);

}  // namespace histeq::store
