#include "framework/log_line.hpp"

#include "base/json.hpp"

#include <algorithm>
#include <cstdint>

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace skywire::framework {

namespace {

/// Kept free at the end of a line for the mark of a cut one.
constexpr std::size_t kReserved = 32;
constexpr std::size_t kRoom = kLogLineBytesMax - kReserved;

/// Nine digits always: columns line up, and lines sort as text.
std::string format_time(WallTime at) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(at);
    const auto nanoseconds = (at - seconds).count();
    const auto calendar = std::chrono::sys_time<std::chrono::seconds>(seconds);
    return fmt::format(
        "{:%Y-%m-%dT%H:%M:%S}.{:09}Z",
        fmt::gmtime(static_cast<std::time_t>(calendar.time_since_epoch().count())),
        nanoseconds
    );
}

std::string_view padded_level(log::Level level) {
    switch (level) {
        case log::Level::trace:
            return "TRACE";
        case log::Level::debug:
            return "DEBUG";
        case log::Level::info:
            return "INFO ";
        case log::Level::warn:
            return "WARN ";
        case log::Level::error:
            return "ERROR";
        case log::Level::off:
            return "OFF  ";
    }
    return "?    ";
}

/// The length of the UTF-8 sequence at the front of `text` and its code point; 0 for a bad one.
std::size_t decode_utf8(std::string_view text, std::uint32_t& point) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    std::size_t length = 0;
    if (first >= 0xC2 && first <= 0xDF) {
        length = 2;
        point = first & 0x1FU;
    } else if (first >= 0xE0 && first <= 0xEF) {
        length = 3;
        point = first & 0x0FU;
    } else if (first >= 0xF0 && first <= 0xF4) {
        length = 4;
        point = first & 0x07U;
    }
    if (length == 0 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0U) != 0x80) return 0;
        point = point << 6U | (byte(i) & 0x3FU);
    }
    constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    return point < kSmallest[length] || point > 0x10FFFF || surrogate ? 0 : length;
}

/// Code points beyond ASCII that a terminal or a viewer obeys instead of showing.
bool is_unsafe(std::uint32_t point) {
    return point < 0xA0 ||                                           // C1 controls
           point == 0x200E || point == 0x200F || point == 0x061C ||  // direction marks
           (point >= 0x2028 && point <= 0x202E) ||                   // line ends, embeddings
           (point >= 0x2066 && point <= 0x2069) || point == 0xFEFF;  // isolates, BOM
}

void append_hex(std::string& out, std::string_view bytes) {
    for (const char each : bytes) {
        fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(each));
    }
}

/// Appends `text` so that it cannot leave its place; true where it needs quotes around it.
bool append_escaped(std::string& out, std::string_view text) {
    bool quotes = text.empty();
    while (!text.empty()) {
        const char first = text.front();
        const auto code = static_cast<unsigned char>(first);
        std::size_t length = 1;
        if (first == '"' || first == '\\') {
            (out += '\\') += first;
            quotes = true;
        } else if (first == '\n' || first == '\r' || first == '\t') {
            out += first == '\n' ? "\\n" : first == '\r' ? "\\r" : "\\t";
            quotes = true;
        } else if (code < 0x20 || code == 0x7F) {
            append_hex(out, text.substr(0, 1));
            quotes = true;
        } else if (code < 0x80) {
            out += first;
            quotes = quotes || first == ' ' || first == '=';
        } else {
            std::uint32_t point = 0;
            const std::size_t decoded = decode_utf8(text, point);
            length = std::max<std::size_t>(decoded, 1);
            if (decoded == 0 || is_unsafe(point)) {
                append_hex(out, text.substr(0, length));
                quotes = true;
            } else {
                out += text.substr(0, length);
            }
        }
        text.remove_prefix(length);
    }
    return quotes;
}

/// A value cut to at most `bytes`, not inside of a UTF-8 sequence.
std::string_view cut(std::string_view text, std::size_t bytes) {
    if (text.size() <= bytes) return text;
    while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0U) == 0x80)
        --bytes;
    return text.substr(0, bytes);
}

std::string text_field(std::string_view key, std::string_view value) {
    std::string escaped;
    const bool quotes = append_escaped(escaped, value);
    std::string out = " ";
    append_escaped(out, key);
    out += quotes ? "=\"" : "=";
    out += escaped;
    if (quotes) out += '"';
    return out;
}

std::string json_field(std::string_view key, std::string_view value) {
    std::string name(key);
    for (const std::string_view taken : {"time", "level", "service", "event"}) {
        if (key == taken) name += '_';
    }
    std::string out = ",";
    append_json_string(out, name, JsonEscape::plain);
    out += ':';
    append_json_string(out, value, JsonEscape::plain);
    return out;
}

/// Appends what `format` makes of the fields while there is room; false where something was cut.
template <class Format>
bool append_fields(std::string& line, const LogEvent& event, Format format) {
    for (std::size_t i = 0; i < event.field_count; ++i) {
        const log::Field& field = event.fields[i];
        // Escaping can make a byte six times as long: what is surely too long is cut before.
        const std::string whole = format(field.key, cut(field.value, kLogLineBytesMax));
        if (field.value.size() <= kLogLineBytesMax && line.size() + whole.size() <= kRoom) {
            line += whole;
            continue;
        }
        std::size_t keep = std::min(field.value.size(), kRoom - std::min(kRoom, line.size()));
        while (keep > 0) {
            const std::string part = format(field.key, cut(field.value, keep));
            if (line.size() + part.size() <= kRoom) {
                line += part;
                break;
            }
            keep /= 2;
        }
        return false;
    }
    return true;
}

}  // namespace

std::string format_log_text(const LogEvent& event) {
    std::string line = format_time(event.at);
    line += ' ';
    line += padded_level(event.level);
    line += " [";
    append_escaped(line, cut(event.scope, 128));
    line += "] ";
    append_escaped(line, cut(event.event, 128));
    if (!append_fields(line, event, text_field)) line += " truncated=true";
    return line;
}

std::string format_log_json(const LogEvent& event) {
    std::string line = R"({"time":")" + format_time(event.at) + R"(","level":")";
    line += log::level_name(event.level);
    line += R"(","service":)";
    append_json_string(line, cut(event.scope, 128), JsonEscape::plain);
    line += R"(,"event":)";
    append_json_string(line, cut(event.event, 128), JsonEscape::plain);
    if (!append_fields(line, event, json_field)) line += R"(,"truncated":true)";
    line += '}';
    return line;
}

}  // namespace skywire::framework
