#pragma once

// libjpeg's errors as statuses. libjpeg leaves by longjmp: what runs inside JpegGuard holds nothing
// that needs a destructor.

#include <csetjmp>
#include <cstddef>
#include <cstdio>
// After cstdio: jpeglib.h needs FILE.
#include <jpeglib.h>

#include "absl/status/status.h"

namespace histeq::codec {

struct JpegErrors {
  // First: libjpeg hands back a pointer to it.
  jpeg_error_mgr manager;
  jmp_buf jump;
  // Set by our own callbacks, in place of libjpeg's message.
  absl::Status status;
};

// Makes `errors` the error manager of `cinfo`.
jpeg_error_mgr* InitJpegErrors(JpegErrors& errors);

// Leaves the guarded call with `status`.
[[noreturn]] void FailJpeg(j_common_ptr cinfo, absl::Status status);

// What libjpeg complained about, as a status.
absl::Status JpegStatus(j_common_ptr cinfo);

template <typename F>
absl::Status JpegGuard(j_common_ptr cinfo, JpegErrors& errors, F&& f) {
  if (setjmp(errors.jump) != 0) return JpegStatus(cinfo);
  f();
  return absl::OkStatus();
}

}  // namespace histeq::codec
