#include "random_id.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include "base/hex.h"

namespace histeq::store {
std::string RandomBytes(size_t size) {
  std::string bytes(size, '\0');
  size_t done = 0;
  while (done < size) {
    const ssize_t got = getrandom(bytes.data() + done, size - done, 0);
    // Keys that repeat would overwrite somebody's image: there is no way on without randomness.
    if (got < 0 && errno != EINTR) std::abort();
    if (got > 0) done += static_cast<size_t>(got);
  }
  return bytes;
}

std::string RandomHex128() { return base::ToHex(RandomBytes(16)); }

std::string TimedHex128(absl::Time time) {
  const auto millis = static_cast<uint64_t>(std::max<int64_t>(absl::ToUnixMillis(time), 0));
  std::string bytes;
  for (int shift = 40; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(millis >> shift));
  return base::ToHex(bytes + RandomBytes(10));
}

}  // namespace histeq::store
