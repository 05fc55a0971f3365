#pragma once

#include <string>
#include <vector>

namespace histeq::client {

// Columns under headings, filled up with spaces; the last one is not. Cells are printable UTF-8.
class Table {
 public:
  explicit Table(std::vector<std::string> headings) : rows_{std::move(headings)} {}
  void AddRow(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  // Lines with their ends; empty when there are no rows.
  std::string Text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace histeq::client
