#pragma once

// Early return on a failed absl::Status or absl::StatusOr.

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define HISTEQ_STATUS_CONCAT_INNER_(a, b) a##b
#define HISTEQ_STATUS_CONCAT_(a, b) HISTEQ_STATUS_CONCAT_INNER_(a, b)

// Returns from the enclosing function when `expr`, an absl::Status, is not OK.
#define HISTEQ_RETURN_IF_ERROR(expr)                                  \
  do {                                                                \
    if (absl::Status histeq_status_ = (expr); !histeq_status_.ok()) { \
      return histeq_status_;                                          \
    }                                                                 \
  } while (false)

// Assigns the value of `expr`, an absl::StatusOr, to `lhs` (which may declare a variable), or
// returns its status.
#define HISTEQ_ASSIGN_OR_RETURN(lhs, expr) \
  HISTEQ_ASSIGN_OR_RETURN_IMPL_(HISTEQ_STATUS_CONCAT_(histeq_statusor_, __LINE__), lhs, expr)

#define HISTEQ_ASSIGN_OR_RETURN_IMPL_(statusor, lhs, expr) \
  auto statusor = (expr);                                  \
  if (!statusor.ok()) {                                    \
    return statusor.status();                              \
  }                                                        \
  lhs = std::move(statusor).value()
