#include "framework/config_syntax.hpp"

#include "base/result.hpp"

namespace skywire::framework::detail {

namespace {

using Found = std::optional<SyntaxProblem>;

bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}
bool is_letter(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_hex(char c) noexcept {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

std::size_t skip_space(std::string_view text, std::size_t i) noexcept {
    while (i < text.size() && std::string_view(" \t\r\n").find(text[i]) != std::string_view::npos)
        ++i;
    return i;
}

/// The length of the UTF-8 sequence at `i`, 0 where it is none.
std::size_t utf8_length(std::string_view text, std::size_t i) noexcept {
    const auto byte = [&](std::size_t at) -> unsigned {
        return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U;
    };
    const unsigned first = byte(i);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xC2 && first <= 0xDF   ? 2
                               : first >= 0xE0 && first <= 0xEF ? 3
                               : first >= 0xF0 && first <= 0xF4 ? 4
                                                                : 0;
    for (std::size_t k = 1; k < length; ++k) {
        if ((byte(i + k) & 0xC0U) != 0x80U) return 0;
    }
    // Overlong forms, surrogates, and what lies above U+10FFFF.
    const unsigned second = byte(i + 1);
    const bool bad = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                     (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
    return bad ? 0 : length;
}

/// The character at `i` as a message names it.
std::string shown(std::string_view text, std::size_t i) {
    if (i >= text.size()) return "the end of the file";
    const char c = text[i];
    if (c == '\'') return "a single quote";
    if (c == '"') return "a string";
    if (c == '\n' || c == '\r') return "the end of the line";
    if (is_letter(c) || is_digit(c)) {
        std::size_t end = i;
        while (end < text.size() && (is_letter(text[end]) || is_digit(text[end])))
            ++end;
        return quote_peer_text(text.substr(i, end - i), 32);
    }
    const std::size_t length = std::max<std::size_t>(1, utf8_length(text, i));
    if (length > 1) return fmt::format("'{}'", text.substr(i, length));
    const auto code = static_cast<unsigned char>(c);
    return code >= 0x20 && code < 0x7F ? fmt::format("'{}'", c)
                                       : fmt::format("the byte 0x{:02x}", code);
}

Found found(std::size_t offset, std::string message) {
    return SyntaxProblem{offset, std::move(message)};
}

Found expected(std::string_view what, std::string_view text, std::size_t i) {
    if (i < text.size() && (text[i] == '/' || text[i] == '#')) {
        return found(i, "comments are not allowed in this file");
    }
    return found(i, fmt::format("expected {}, found {}", what, shown(text, i)));
}

Found unclosed(std::string_view text, char closing, Position opened) {
    return found(
        text.size(),
        fmt::format(
            "the file ends before the '{}' of the {} that opened at {}:{}",
            closing,
            closing == '}' ? "object" : "array",
            opened.line,
            opened.column
        )
    );
}

std::optional<unsigned> hex4(std::string_view text, std::size_t i) {
    unsigned value = 0;
    for (std::size_t k = i; k < i + 4; ++k) {
        if (k >= text.size() || !is_hex(text[k])) return std::nullopt;
        const char c = text[k];
        const int digit = is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
        value = value * 16 + static_cast<unsigned>(digit);
    }
    return value;
}

/// Steps over the escape at `i`; on an error leaves it and says why.
Found escape(std::string_view text, std::size_t& i) {
    const char c = i + 1 < text.size() ? text[i + 1] : '\0';
    if (c != 'u') {
        if (c == '\0' || std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos) {
            return found(i, "unknown escape: a backslash may stand before one of \"\\/bfnrtu only");
        }
        i += 2;
        return std::nullopt;
    }
    const auto first = hex4(text, i + 2);
    if (!first) return found(i, "\\u needs four hex digits");
    const bool high = *first >= 0xD800 && *first <= 0xDBFF;
    if (*first >= 0xDC00 && *first <= 0xDFFF) {
        return found(i, "\\u escape of a low surrogate without the high one before it");
    }
    if (!high) {
        i += 6;
        return std::nullopt;
    }
    const bool follows = text.substr(std::min(i + 6, text.size()), 2) == "\\u";
    const auto second = follows ? hex4(text, i + 8) : std::nullopt;
    if (!second || *second < 0xDC00 || *second > 0xDFFF) {
        return found(i, "\\u escape of a high surrogate without the low one behind it");
    }
    i += 12;
    return std::nullopt;
}

Found string_problem(std::string_view text, std::size_t start) {
    std::size_t i = start + 1;
    while (i < text.size()) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c == '"') return std::nullopt;
        if (c == '\\') {
            if (Found bad = escape(text, i)) return bad;
            continue;
        }
        if (c == '\n' || c == '\r') return found(start, "this string is not closed on its line");
        if (c < 0x20) {
            const char* hint = c == '\t' ? "; write \\t" : "";
            return found(i, fmt::format("control character 0x{:02x} inside a string{}", c, hint));
        }
        ++i;
    }
    return found(start, "this string is not closed");
}

bool is_word_byte(char c) noexcept {
    return is_digit(c) || is_letter(c) ||
           std::string_view("+-._").find(c) != std::string_view::npos;
}

Found number_problem(std::string_view text, std::size_t start) {
    std::size_t end = start;
    while (end < text.size() && is_word_byte(text[end]))
        ++end;
    const auto word = quote_peer_text(text.substr(start, end - start), 32);
    return found(start, fmt::format("malformed number {}: text needs double quotes", word));
}

Found value_problem(std::string_view text, std::size_t i, std::size_t depth_left) {
    if (i >= text.size()) return found(i, "the file ends where a value is expected");
    const char c = text[i];
    if (c == '"') return string_problem(text, i);
    if (c == '-' || is_digit(c)) return number_problem(text, i);
    if (c == '\'') return found(i, "text needs double quotes, not single ones");
    if (c == '{' || c == '[') {
        if (depth_left == 0) return found(i, "nested deeper than 64 levels");
        return std::nullopt;
    }
    if (is_letter(c)) {
        return found(
            i,
            fmt::format(
                "{} is no value: text needs double quotes, and the only words without "
                "are true, false and null",
                shown(text, i)
            )
        );
    }
    return expected("a value", text, i);
}

Found key_problem(std::string_view text, std::size_t i, bool after_comma) {
    if (i < text.size() && text[i] == '"') return string_problem(text, i);
    if (after_comma && i < text.size() && text[i] == '}') {
        return found(i, "a comma before '}': the last member of an object has none behind it");
    }
    return expected(
        after_comma ? "a key in double quotes" : "a key in double quotes or '}'", text, i
    );
}

Found after_object_value(std::string_view text, std::size_t i, Position opened) {
    if (i >= text.size()) return unclosed(text, '}', opened);
    if (text[i] == '"') return found(i, "a comma is missing before this key");
    if (text[i] != ',') return expected("',' or '}' behind the value", text, i);
    i = skip_space(text, i + 1);
    if (i >= text.size()) return unclosed(text, '}', opened);
    return key_problem(text, i, /*after_comma=*/true);
}

Found after_array_value(
    std::string_view text, std::size_t i, Position opened, std::size_t depth_left
) {
    if (i >= text.size()) return unclosed(text, ']', opened);
    const char c = text[i];
    if (c == '"' || c == '{' || c == '[' || is_digit(c)) {
        return found(i, "a comma is missing before this element");
    }
    if (c != ',') return expected("',' or ']' behind the element", text, i);
    i = skip_space(text, i + 1);
    if (i >= text.size()) return unclosed(text, ']', opened);
    if (text[i] == ']') {
        return found(i, "a comma before ']': the last element of an array has none behind it");
    }
    return value_problem(text, i, depth_left);
}

}  // namespace

LineIndex::LineIndex(std::string_view text) : lines_{0} {
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\n') lines_.push_back(i + 1);
    }
}

Position LineIndex::at(std::size_t offset) const {
    const auto after = std::upper_bound(lines_.begin(), lines_.end(), offset);
    const auto line = static_cast<std::size_t>(after - lines_.begin());
    return {
        .line = static_cast<std::uint32_t>(line),
        .column = static_cast<std::uint32_t>(offset - lines_[line - 1] + 1),
    };
}

std::optional<SyntaxProblem> check_bytes(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) {
        return found(
            0, "the file begins with a byte order mark (EF BB BF): save it as UTF-8 without BOM"
        );
    }
    if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
        return found(0, "the file is UTF-16: save it as UTF-8 without BOM");
    }
    if (skip_space(text, 0) == text.size()) return found(0, "the file is empty");
    for (std::size_t i = 0; i < text.size();) {
        if (text[i] == '\0') return found(i, "a NUL byte: this is not a text file");
        const std::size_t length = utf8_length(text, i);
        if (length == 0) {
            const auto byte = static_cast<unsigned char>(text[i]);
            return found(i, fmt::format("the byte 0x{:02x} is not UTF-8", byte));
        }
        i += length;
    }
    return std::nullopt;
}

std::optional<SyntaxProblem> diagnose(
    std::string_view text, std::size_t cursor, Place place, Position opened, std::size_t depth_left
) {
    const std::size_t i = skip_space(text, cursor);
    const bool value_done = place == Place::object_value_done || place == Place::array_value_done;
    if (value_done && i == cursor && i < text.size() && is_word_byte(text[i]) &&
        is_word_byte(text[i - 1])) {
        // A number or word with more behind it: 127.0.0.1, 5m, truely. It is one to whoever wrote
        // it.
        std::size_t start = i;
        while (start > 0 && is_word_byte(text[start - 1]))
            --start;
        return value_problem(text, start, depth_left);
    }
    switch (place) {
        case Place::document_start:
            return value_problem(text, i, depth_left);
        case Place::object_start:
            if (i >= text.size()) return unclosed(text, '}', opened);
            return key_problem(text, i, /*after_comma=*/false);
        case Place::key_done:
            if (i >= text.size() || text[i] != ':') return expected("':' behind the key", text, i);
            return value_problem(text, skip_space(text, i + 1), depth_left);
        case Place::object_value_done:
            return after_object_value(text, i, opened);
        case Place::array_start:
            if (i >= text.size()) return unclosed(text, ']', opened);
            return value_problem(text, i, depth_left);
        case Place::array_value_done:
            return after_array_value(text, i, opened, depth_left);
        case Place::document_done:
            return expected("nothing more behind the closing brace", text, i);
    }
    return std::nullopt;
}

}  // namespace skywire::framework::detail
