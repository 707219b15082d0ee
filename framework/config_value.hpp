#pragma once

#include "base/result.hpp"

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace skywire::framework {

/// A place in a file: line and column from 1, columns in bytes.
struct Position {
    std::uint32_t line = 0;
    std::uint32_t column = 0;
    /// 0 is the deployment file, 1 and up are the files that its blocks name.
    std::uint32_t file = 0;
    bool operator==(const Position&) const = default;
    std::strong_ordering operator<=>(const Position& other) const noexcept {
        return std::tie(file, line, column) <=> std::tie(other.file, other.line, other.column);
    }
};

/// A JSON value that remembers where it stands. Numbers keep their text.
struct ConfigValue {
    enum class Kind { null, boolean, number, string, array, object };

    struct Member;

    Kind kind = Kind::null;
    Position position;
    bool boolean = false;
    /// Of a string (decoded) or a number (as written).
    std::string text;
    std::vector<ConfigValue> elements;
    std::vector<Member> members;
    /// Where the value stands in the file, for writing it back byte for byte.
    std::size_t begin = 0;
    std::size_t end = 0;

    /// The last member of that name (as the existing network's decoder takes it), or null.
    const Member* find(std::string_view name) const noexcept;
};

struct ConfigValue::Member {
    std::string key;
    Position position;
    ConfigValue value;
};

struct SyntaxError {
    Position position;
    std::string message;
};

/// Parses a JSON text of at most 16 MiB and 64 levels, keeping positions. No comments, no trailing
/// commas: the reference's decoder takes neither.
std::variant<ConfigValue, SyntaxError> parse_config(std::string_view text);

}  // namespace skywire::framework
