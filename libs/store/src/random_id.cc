#include "random_id.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>

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

std::string RandomHex128() {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : RandomBytes(16)) {
    hex.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
    hex.push_back(kDigits[static_cast<unsigned char>(c) & 15]);
  }
  return hex;
}

}  // namespace histeq::store
