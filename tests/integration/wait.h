#pragma once

#include <chrono>
#include <thread>

namespace histeq::integration {

using Seconds = std::chrono::seconds;
using Milliseconds = std::chrono::milliseconds;

// Sanitizers and loaded machines are slow: a deadline here is for what will never happen, not a
// measure of speed.
inline constexpr Seconds kPatience{60};

// Looks again and again until `happened()` is true. False when `patience` ran out first.
template <typename Predicate>
bool WaitUntil(Predicate happened, Milliseconds patience = kPatience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!happened()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(Milliseconds(20));
  }
  return true;
}

}  // namespace histeq::integration
