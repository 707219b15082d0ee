#include "base/json.hpp"

#include <boost/json/parse.hpp>
#include <fmt/format.h>

namespace skywire {
namespace {

/// Length of the well-formed UTF-8 sequence at the start of `text`, 0 where there is none.
std::size_t utf8_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto continues = [&](std::size_t i) {
        return i < text.size() && (byte(i) & 0xc0) == 0x80;
    };
    const unsigned char first = byte(0);
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first <= 0xdf) return continues(1) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        if (!continues(1) || !continues(2)) return 0;
        if (first == 0xe0 && byte(1) < 0xa0) return 0;   // overlong
        if (first == 0xed && byte(1) >= 0xa0) return 0;  // surrogate
        return 3;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        if (!continues(1) || !continues(2) || !continues(3)) return 0;
        if (first == 0xf0 && byte(1) < 0x90) return 0;   // overlong
        if (first == 0xf4 && byte(1) >= 0x90) return 0;  // above U+10FFFF
        return 4;
    }
    return 0;
}

}  // namespace

void append_json_string(std::string& out, std::string_view text, JsonEscape escape) {
    out += '"';
    while (!text.empty()) {
        const auto first = static_cast<unsigned char>(text[0]);
        if (first >= 0x80) {
            const std::size_t length = utf8_length(text);
            const std::string_view sequence = text.substr(0, length);
            if (length == 0) {
                out += "\\ufffd";
                text.remove_prefix(1);
                continue;
            }
            // Go writes the two line separators escaped in its default form only.
            if (escape == JsonEscape::html && sequence == "\xe2\x80\xa8") {
                out += "\\u2028";
            } else if (escape == JsonEscape::html && sequence == "\xe2\x80\xa9") {
                out += "\\u2029";
            } else {
                out += sequence;
            }
            text.remove_prefix(length);
            continue;
        }
        switch (text[0]) {
            case '"':
                out += "\\\"";
                break;
            case '\\':
                out += "\\\\";
                break;
            case '\n':
                out += "\\n";
                break;
            case '\r':
                out += "\\r";
                break;
            case '\t':
                out += "\\t";
                break;
            case '<':
            case '>':
            case '&':
                if (escape == JsonEscape::html) {
                    out += fmt::format("\\u{:04x}", first);
                } else {
                    out += text[0];
                }
                break;
            default:
                if (first < 0x20) {
                    out += fmt::format("\\u{:04x}", first);
                } else {
                    out += text[0];
                }
        }
        text.remove_prefix(1);
    }
    out += '"';
}

Result<json::value> parse_json(std::string_view text, std::size_t depth_max) {
    ErrorCode ec;
    json::parse_options options;
    options.max_depth = depth_max;
    json::value value = json::parse(text, ec, {}, options);
    if (ec) return fail(errc::malformed, fmt::format("not JSON: {}", ec.message()));
    return value;
}

}  // namespace skywire
