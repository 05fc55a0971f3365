// An array of a size that is known at run time, which may fail to be made but does not throw.
#ifndef HISTEQ_BUFFER_H_
#define HISTEQ_BUFFER_H_

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

namespace histeq {

namespace internal {

// `count` elements, of zero or of any value; null when memory is short. For std::free.
void* AllocateZeros(size_t count, size_t element_bytes);
void* Allocate(size_t count, size_t element_bytes);

}  // namespace internal

// Owns its elements. Movable; what was moved from is empty.
template <typename T>
class Buffer {
  static_assert(std::is_arithmetic_v<T>, "elements are numbers, made and dropped without code");

 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept
      : elements_(std::move(other.elements_)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    elements_ = std::move(other.elements_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  // `size` elements of zero; empty when memory is short.
  static Buffer Zeros(size_t size) {
    return Buffer(static_cast<T*>(internal::AllocateZeros(size, sizeof(T))), size);
  }

  // `size` elements of any value; empty when memory is short.
  static Buffer Uninitialized(size_t size) {
    return Buffer(static_cast<T*>(internal::Allocate(size, sizeof(T))), size);
  }

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  T* data() { return elements_.get(); }
  const T* data() const { return elements_.get(); }
  std::span<T> span() { return {elements_.get(), size_}; }
  std::span<const T> span() const { return {elements_.get(), size_}; }

 private:
  struct Free {
    void operator()(T* elements) const { std::free(elements); }
  };

  Buffer(T* elements, size_t size) : elements_(elements), size_(elements == nullptr ? 0 : size) {}

  std::unique_ptr<T[], Free> elements_;
  size_t size_ = 0;
};

}  // namespace histeq

#endif  // HISTEQ_BUFFER_H_
