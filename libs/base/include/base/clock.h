#pragma once

// Time as a dependency, so that tests can move it.

#include "absl/time/time.h"

namespace histeq::base {

// Thread-safe. Wall time for what people and the catalog see; monotonic time for every wait and
// lease decision.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
  // Time since an arbitrary fixed point; never goes back, not moved by clock changes.
  virtual absl::Duration Monotonic() const = 0;
};

// The machine's clocks. Lives for ever.
const Clock& SystemClock();

}  // namespace histeq::base
