#pragma once

// Cooperative cancellation with a reason.

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace histeq::base {

namespace internal {
struct CancelState;
}

// The watching side. Cheap to copy. Thread-safe. A default-constructed token is never cancelled.
class CancelToken {
 public:
  CancelToken() = default;

  // OK until cancelled; then the status given to CancelSource::Cancel. One atomic load while not
  // cancelled, so that inner loops may ask once per row.
  absl::Status Check() const;
  bool cancelled() const { return !Check().ok(); }

  // Waits until cancelled or `timeout` has passed; returns Check().
  absl::Status WaitFor(absl::Duration timeout) const;

  // Runs `callback` once when cancelled, on the cancelling thread, or at once when already
  // cancelled. The callback must not block. Returns a handle whose destruction removes the callback
  // and waits for a run in progress.
  [[nodiscard]] std::shared_ptr<void> OnCancel(std::function<void()> callback) const;

 private:
  friend class CancelSource;
  explicit CancelToken(std::shared_ptr<internal::CancelState> state) : state_(std::move(state)) {}
  std::shared_ptr<internal::CancelState> state_;
};

// The deciding side. Thread-safe.
class CancelSource {
 public:
  CancelSource();
  // A source that is also cancelled when `parent` is, with the parent's status.
  explicit CancelSource(const CancelToken& parent);

  // The first call wins; later ones do nothing. `why` must not be OK.
  void Cancel(absl::Status why) const;
  CancelToken token() const { return CancelToken(state_); }

 private:
  std::shared_ptr<internal::CancelState> state_;
  std::shared_ptr<void> parent_link_;
};

}  // namespace histeq::base
