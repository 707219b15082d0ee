#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace skywire::cli {

/// Text in columns, as wide as they need to be; the last one is not padded.
class Table {
 public:
    explicit Table(std::vector<std::string> head) : rows_{std::move(head)} {}

    /// As many cells as the head has.
    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
    void print(std::ostream& out) const;

 private:
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace skywire::cli
