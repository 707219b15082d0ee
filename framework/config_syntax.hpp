#pragma once

#include "framework/config_value.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What is wrong with a text that is not JSON, in words for the person who wrote it. The parser
/// only says that it stopped; these look at what stands there. Private to config_value.cpp.
namespace skywire::framework::detail {

/// Line and column of byte offsets of a text.
class LineIndex {
 public:
    explicit LineIndex(std::string_view text);
    Position at(std::size_t offset) const;

 private:
    /// Offsets of the first byte of each line.
    std::vector<std::size_t> lines_;
};

struct SyntaxProblem {
    std::size_t offset = 0;
    std::string message;
};

/// What the last good token was.
enum class Place {
    document_start,
    object_start,
    key_done,
    object_value_done,
    array_start,
    array_value_done,
    document_done,
};

/// Rules for the bytes of the whole text: not empty, UTF-8, no byte order mark, no NUL.
std::optional<SyntaxProblem> check_bytes(std::string_view text);

/// Why the text does not go on from `cursor`, the end of the last good token; nothing where these
/// rules find it in order. `opened` is where the innermost open brace or bracket stands.
std::optional<SyntaxProblem> diagnose(
    std::string_view text, std::size_t cursor, Place place, Position opened, std::size_t depth_left
);

}  // namespace skywire::framework::detail
