#pragma once

// Text from outside on a terminal.

#include <cstddef>
#include <string>
#include <string_view>

namespace histeq::client {

// `text` with everything that could move the cursor, change colours or turn the reading direction
// written out: control characters and bytes that are no UTF-8 as \xNN, bidirectional controls and
// line separators as \u{NNNN}. A line stays one line.
std::string Printable(std::string_view text);

// Columns that printable UTF-8 takes: two for East Asian wide characters and emoji, none for
// combining marks.
size_t Columns(std::string_view text);

// The longest beginning of `text` that takes at most `columns`.
std::string CutToColumns(std::string_view text, size_t columns);

}  // namespace histeq::client
