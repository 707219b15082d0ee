#pragma once

#include "framework/config_value.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace skywire::framework {

/// Something a file's reader should mend (error) or know (warning).
struct Problem {
    enum class Severity { warning, error };

    Severity severity = Severity::error;
    /// A short constant to branch on: "unknown-key", "bad-value", "clash", "cycle", ...
    std::string code;
    Position position;
    /// The block's label, empty outside of blocks.
    std::string label;
    std::string message;
    /// The nearest valid key or value, or empty.
    std::string suggestion;
    /// The other side of a clash.
    Position other;
    /// The file of `position` and of `other` where it is not the deployment file.
    std::string file = {};
    std::string other_file = {};

    /// `deployment_file` is the name of the file where `file` says no other.
    /// "FILE:LINE:COLUMN: error: LABEL: MESSAGE (did you mean "..."?) (see FILE:LINE:COLUMN)", with
    /// the parts that there are.
    std::string to_string(std::string_view deployment_file) const;

    /// One JSON object: file, line, column, severity, code, label, message, suggestion, other_line,
    /// other_column, other_file (where it differs from file); members without a value are left out.
    std::string to_json(std::string_view deployment_file) const;
};

using Problems = std::vector<Problem>;

bool has_errors(const Problems& problems) noexcept;

/// The candidate nearest to `word` by edit distance, or "" where none is near (distance above a
/// third of the word's length, at least 2, or above half of the longer word). Case does not count.
std::string nearest(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace skywire::framework
