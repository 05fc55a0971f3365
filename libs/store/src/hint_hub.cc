#include "hint_hub.h"

#include <utility>
#include <vector>

namespace histeq::store {

struct HintHub::Subscriber {
  std::mutex mutex;
  Callback callback;  // Empty once unsubscribed.
};

std::shared_ptr<void> HintHub::Subscribe(Callback callback) {
  auto subscriber = std::make_shared<Subscriber>();
  subscriber->callback = std::move(callback);
  const std::lock_guard lock(state_->mutex);
  state_->subscribers.emplace(subscriber.get(), subscriber);
  return {nullptr, [state = state_, subscriber](std::nullptr_t) {
            {
              const std::lock_guard lock(state->mutex);
              state->subscribers.erase(subscriber.get());
            }
            // Waits for a call in progress.
            const std::lock_guard lock(subscriber->mutex);
            subscriber->callback = nullptr;
          }};
}

void HintHub::Notify(const CatalogHint& hint) const {
  std::vector<std::shared_ptr<Subscriber>> subscribers;
  {
    const std::lock_guard lock(state_->mutex);
    for (const auto& [key, subscriber] : state_->subscribers) subscribers.push_back(subscriber);
  }
  for (const auto& subscriber : subscribers) {
    const std::lock_guard lock(subscriber->mutex);
    if (subscriber->callback) subscriber->callback(hint);
  }
}

}  // namespace histeq::store
