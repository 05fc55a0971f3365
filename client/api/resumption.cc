#include "api/resumption.h"

#include "api/byte_text.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace histeq::client {
namespace {

// Streams that end with damaged bytes at one and the same place.
constexpr int kMaxDamaged = 3;

}  // namespace

absl::Status Resumption::After(const absl::Status& failure) {
  HISTEQ_RETURN_IF_ERROR(control_.token.Check());
  if (bytes_.hopeless()) return failure;
  if (bytes_.offset() > offset_before_) patience_.Progress();
  offset_before_ = bytes_.offset();
  if (absl::IsDataLoss(failure)) {
    damaged_ = damaged_ > 0 && bytes_.offset() == offset_at_damage_ ? damaged_ + 1 : 1;
    offset_at_damage_ = bytes_.offset();
    if (damaged_ >= kMaxDamaged) return failure;
    cause_ = "bytes arrived damaged";
    return patience_.Again(absl::AbortedError(std::string(failure.message())));
  }
  cause_ = IsConnectionLoss(failure) ? "connection lost" : "the server asks to wait";
  return patience_.Again(failure);
}

void Resumption::Established() {
  if (cause_.empty()) return;
  control_.Notice(bytes_.begun() && bytes_.offset() > 0
                      ? fmt::format("{}; resuming at {} of {}", cause_, ByteText(bytes_.offset()),
                                    ByteText(bytes_.image().size_bytes()))
                      : fmt::format("{}; connected again", cause_));
  cause_.clear();
}

}  // namespace histeq::client
