#pragma once

#include "base/result.hpp"

#include <string>
#include <string_view>

#include <boost/json/value.hpp>

namespace skywire {

namespace json = boost::json;

/// How text inside a JSON string is escaped on output. Go's encoder has both forms on the wire.
enum class JsonEscape {
    /// Only `"`, `\` and control characters: Go's encoder with SetEscapeHTML(false).
    plain,
    /// Also `<`, `>`, `&`, U+2028 and U+2029 as \u00XX: Go's default.
    html,
};

/// Appends `text` as a JSON string with its quotes. Control characters are written as Go does:
/// \n, \r, \t, all others as \u00XX. Bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text, JsonEscape escape);

/// Parses one JSON value and nothing behind it; at most `depth_max` levels deep.
Result<json::value> parse_json(std::string_view text, std::size_t depth_max = 32);

}  // namespace skywire
