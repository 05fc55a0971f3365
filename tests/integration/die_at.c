// Preloaded into the program under test: ends it at a chosen moment as a power cut would.
// HISTEQ_TEST_DIE_AT=WHEN:N, at the Nth time that WHEN comes, counted from 1:
//   sync           a temporary file of an output is about to be flushed
//   before-rename  it is about to get its name
//   after-rename   it has its name
//   rename         it is about to replace another file
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void Come(const char* when) {
  static atomic_int times;
  const char* const wanted = getenv("HISTEQ_TEST_DIE_AT");
  const size_t length = strlen(when);
  if (wanted == NULL || strncmp(wanted, when, length) != 0 || wanted[length] != ':') return;
  if (atomic_fetch_add(&times, 1) + 1 == atoi(wanted + length + 1)) kill(getpid(), SIGKILL);
}

static int IsTemporary(const char* path) {
  const size_t length = strlen(path);
  return length > 5 && strcmp(path + length - 5, ".part") == 0;
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  int (*const real)(int, const char*, int, const char*, unsigned) =
      (int (*)(int, const char*, int, const char*, unsigned))dlsym(RTLD_NEXT, "renameat2");
  if (!IsTemporary(from)) return real(from_folder, from, to_folder, to, flags);
  Come("before-rename");
  const int result = real(from_folder, from, to_folder, to, flags);
  Come("after-rename");
  return result;
}

int rename(const char* from, const char* to) {
  int (*const real)(const char*, const char*) =
      (int (*)(const char*, const char*))dlsym(RTLD_NEXT, "rename");
  if (IsTemporary(from)) Come("rename");
  return real(from, to);
}

int fdatasync(int descriptor) {
  int (*const real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  char own[32];
  char path[4096];
  snprintf(own, sizeof(own), "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(own, path, sizeof(path) - 1);
  if (length > 0) {
    path[length] = '\0';
    if (IsTemporary(path)) Come("sync");
  }
  return real(descriptor);
}
