#include "display/error_text.h"

#include "absl/strings/match.h"
#include "base/error.h"
#include "display/printable.h"
#include "fmt/format.h"

namespace histeq::client {

std::string ErrorText(const absl::Status& status) {
  const auto detail = base::GetErrorDetail(status);
  const std::string message(status.message());
  std::string facts;
  if (detail.has_value()) {
    for (const char* key : {"limit", "actual"}) {
      const auto found = detail->metadata.find(key);
      if (found == detail->metadata.end() || absl::StrContains(message, found->second)) continue;
      facts += fmt::format("{}{} {}", facts.empty() ? " (" : ", ", key, found->second);
    }
    if (!facts.empty()) facts += ")";
  }
  const std::string what = detail.has_value() && !detail->reason.empty()
                               ? detail->reason
                               : absl::StatusCodeToString(status.code());
  return Printable(fmt::format("{}: {}{}", what, message, facts));
}

}  // namespace histeq::client
