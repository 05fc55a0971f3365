#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "store/catalog.h"

namespace histeq::store {

// Who wants to hear of changes. Thread-safe.
class HintHub {
 public:
  using Callback = std::function<void(const CatalogHint&)>;

  // The handle may outlive the hub.
  std::shared_ptr<void> Subscribe(Callback callback);
  // Calls every subscriber.
  void Notify(const CatalogHint& hint) const;

 private:
  struct Subscriber;
  struct State {
    std::mutex mutex;
    std::map<const Subscriber*, std::shared_ptr<Subscriber>> subscribers;
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace histeq::store
