#include "dmsg/detail/json_reader.hpp"

#include "dmsg/error.hpp"

#include <charconv>

#include <fmt/format.h>

namespace skywire::dmsg::detail {
namespace {

constexpr std::uint32_t kReplacement = 0xfffd;

bool is_space(char c) noexcept {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

void append_utf8(std::string& out, std::uint32_t rune) {
    const auto push = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (rune < 0x80) {
        push(rune);
    } else if (rune < 0x800) {
        push(0xc0 | rune >> 6);
        push(0x80 | (rune & 0x3f));
    } else if (rune < 0x10000) {
        push(0xe0 | rune >> 12);
        push(0x80 | (rune >> 6 & 0x3f));
        push(0x80 | (rune & 0x3f));
    } else {
        push(0xf0 | rune >> 18);
        push(0x80 | (rune >> 12 & 0x3f));
        push(0x80 | (rune >> 6 & 0x3f));
        push(0x80 | (rune & 0x3f));
    }
}

/// Length of the well-formed sequence of two to four bytes at the start of `text`, or 0.
std::size_t utf8_length(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) -> unsigned {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
    };
    const auto continues = [&](std::size_t i) { return (byte(i) & 0xc0U) == 0x80U; };
    const unsigned first = byte(0);
    // The second byte's range keeps out overlong forms, surrogates and runes above U+10FFFF.
    if (first >= 0xc2 && first <= 0xdf) return continues(1) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        const bool fits = !(first == 0xe0 && byte(1) < 0xa0) && !(first == 0xed && byte(1) >= 0xa0);
        return fits && continues(1) && continues(2) ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        const bool fits = !(first == 0xf0 && byte(1) < 0x90) && !(first == 0xf4 && byte(1) >= 0x90);
        return fits && continues(1) && continues(2) && continues(3) ? 4 : 0;
    }
    return 0;
}

/// Of a number that a double cannot hold: whether it is too small for one, not too large. Such a
/// number has an exponent, or so many digits that its leading zeros tell.
bool is_tiny(std::string_view number) noexcept {
    const auto exponent = number.find_first_of("eE");
    if (exponent != std::string_view::npos) return number.substr(exponent + 1).starts_with('-');
    return number.starts_with("0.") || number.starts_with("-0.");
}

}  // namespace

Error JsonReader::error() const {
    return {errc::unexpected, fmt::format("entry JSON, byte {}: {}", at_, problem_)};
}

bool JsonReader::fail(const char* problem) {
    if (problem_ == nullptr) problem_ = problem;
    return false;
}

std::size_t JsonReader::position() {
    peek();
    return at_;
}

char JsonReader::peek() {
    while (at_ < text_.size() && is_space(text_[at_])) {
        ++at_;
        spaced_ = true;
    }
    // A zero byte stands for the end: none is valid outside of a string.
    return ok() && at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonReader::take(char expected, const char* problem) {
    if (peek() != expected) return fail(problem);
    ++at_;
    return true;
}

bool JsonReader::literal(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return fail("unknown word");
    at_ += word.size();
    return true;
}

bool JsonReader::null() {
    return peek() == 'n' && literal("null");
}

bool JsonReader::digits() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_digit(text_[at_]))
        ++at_;
    return at_ > begin || fail("a digit is missing in a number");
}

bool JsonReader::number_text(std::string_view& into) {
    const char first = peek();
    if (first != '-' && !is_digit(first)) return fail("a number is expected");
    const std::size_t begin = at_;
    const auto next_is = [&](char c) { return at_ < text_.size() && text_[at_] == c; };
    if (first == '-') ++at_;
    if (next_is('0')) {
        ++at_;
    } else if (!digits()) {
        return false;
    }
    if (next_is('.')) {
        ++at_;
        if (!digits()) return false;
    }
    if (next_is('e') || next_is('E')) {
        ++at_;
        if (next_is('+') || next_is('-')) ++at_;
        if (!digits()) return false;
    }
    into = text_.substr(begin, at_ - begin);
    return true;
}

bool JsonReader::number(std::uint64_t& into) {
    std::string_view text;
    if (!number_text(text)) return false;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), into);
    const bool whole = ec == std::errc() && end == text.data() + text.size();
    return whole || fail("the number is not a whole one from 0 to 2^64-1");
}

bool JsonReader::number(std::int64_t& into) {
    std::string_view text;
    if (!number_text(text)) return false;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), into);
    const bool whole = ec == std::errc() && end == text.data() + text.size();
    return whole || fail("the number is not a whole one of 64 bits");
}

bool JsonReader::number(double& into) {
    std::string_view text;
    if (!number_text(text)) return false;
    double value = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (end != text.data() + text.size()) return fail("a number is expected");
    // Too small for 64 bits is zero; too large is no number.
    const bool small = ec == std::errc::result_out_of_range && is_tiny(text);
    if (ec != std::errc() && !small) return fail("the number is beyond 64 bits");
    into = small ? 0 : value;
    return true;
}

bool JsonReader::boolean(bool& into) {
    const char first = peek();
    if (first != 't' && first != 'f') return fail("true or false is expected");
    into = first == 't';
    return literal(into ? "true" : "false");
}

bool JsonReader::string(std::string& into) {
    into.clear();
    if (!take('"', "a string is expected")) return false;
    while (at_ < text_.size()) {
        std::size_t plain = at_;
        while (plain < text_.size()) {
            const auto c = static_cast<unsigned char>(text_[plain]);
            if (c == '"' || c == '\\' || c < 0x20 || c >= 0x80) break;
            ++plain;
        }
        into += text_.substr(at_, plain - at_);
        at_ = plain;
        if (at_ == text_.size()) break;
        const char c = text_[at_];
        if (c == '"') {
            ++at_;
            return true;
        }
        if (c == '\\') {
            if (!escape(into)) return false;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            return fail("a control character stands in a string");
        } else if (!utf8(into)) {
            return false;
        }
    }
    return fail("a string has no end");
}

bool JsonReader::utf8(std::string& into) {
    const std::size_t length = utf8_length(text_.substr(at_));
    if (length == 0) {
        append_utf8(into, kReplacement);
        repaired_ = true;
        ++at_;
        return true;
    }
    into += text_.substr(at_, length);
    at_ += length;
    return true;
}

bool JsonReader::code_unit(std::uint32_t& into) {
    const std::string_view text = text_.substr(at_, 4);
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), into, 16);
    // from_chars of an unsigned type takes no sign, so four digits are four digits.
    if (ec != std::errc() || text.size() != 4 || end != text.data() + 4) {
        return fail("\\u needs four hex digits");
    }
    at_ += 4;
    return true;
}

bool JsonReader::escape(std::string& into) {
    ++at_;
    if (at_ == text_.size()) return fail("a string has no end");
    const char c = text_[at_++];
    switch (c) {
        case '"':
        case '\\':
        case '/':
            into += c;
            return true;
        case 'b':
            into += '\b';
            return true;
        case 'f':
            into += '\f';
            return true;
        case 'n':
            into += '\n';
            return true;
        case 'r':
            into += '\r';
            return true;
        case 't':
            into += '\t';
            return true;
        case 'u':
            break;
        default:
            return fail("unknown escape in a string");
    }
    std::uint32_t unit = 0;
    if (!code_unit(unit)) return false;
    const bool high = unit >= 0xd800 && unit < 0xdc00;
    if (high && text_.substr(at_, 2) == "\\u") {
        const std::size_t back = at_;
        at_ += 2;
        std::uint32_t low = 0;
        if (!code_unit(low)) return false;
        if (low >= 0xdc00 && low < 0xe000) {
            append_utf8(into, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
            return true;
        }
        at_ = back;  // half a pair, and an escape of its own behind it
    }
    append_utf8(into, unit >= 0xd800 && unit < 0xe000 ? kReplacement : unit);
    return true;
}

bool JsonReader::enter() {
    ++depth_;
    return depth_ <= kDepthMax || fail("nested too deep");
}

bool JsonReader::skip() {
    switch (peek()) {
        case '{': {
            JsonObject object(*this);
            while (object.next()) {
                if (!skip()) return false;
            }
            return ok();
        }
        case '[': {
            JsonArray array(*this);
            while (array.next()) {
                if (!skip()) return false;
            }
            return ok();
        }
        case '"': {
            std::string ignored;
            return string(ignored);
        }
        case 't':
            return literal("true");
        case 'f':
            return literal("false");
        case 'n':
            return literal("null");
        default: {
            std::string_view ignored;
            return number_text(ignored);
        }
    }
}

JsonObject::JsonObject(JsonReader& reader) : reader_(reader) {
    if (reader_.take('{', "an object is expected")) reader_.enter();
}

bool JsonObject::next() {
    if (!reader_.ok()) return false;
    const char c = reader_.peek();
    begin_ = reader_.at_;
    if (c == '}') {
        ++reader_.at_;
        --reader_.depth_;
        return false;
    }
    if (!first_ && !reader_.take(',', "a comma or the end of an object is expected")) return false;
    first_ = false;
    name_begin_ = reader_.position();
    if (!reader_.string(name_)) return false;
    name_end_ = reader_.at_;
    return reader_.take(':', "a colon is expected");
}

bool JsonObject::named(std::string_view name) const noexcept {
    std::string_view rest = name_;
    for (const char c : name) {
        // U+017F, the long s, is an s to Go; names with a k do not occur here.
        if (c == 's' && rest.starts_with("\xc5\xbf")) {
            rest.remove_prefix(2);
            continue;
        }
        if (rest.empty() || lower(rest[0]) != lower(c)) return false;
        rest.remove_prefix(1);
    }
    return rest.empty();
}

bool JsonObject::named_exactly(std::string_view name) const noexcept {
    // Longer in the text means that the name holds an escape.
    return name_ == name && name_end_ - name_begin_ == name.size() + 2;
}

JsonArray::JsonArray(JsonReader& reader) : reader_(reader) {
    if (reader_.take('[', "an array is expected")) reader_.enter();
}

bool JsonArray::next() {
    if (!reader_.ok()) return false;
    if (reader_.peek() == ']') {
        ++reader_.at_;
        --reader_.depth_;
        return false;
    }
    if (!first_ && !reader_.take(',', "a comma or the end of an array is expected")) return false;
    first_ = false;
    // After a comma a value must come: its reader refuses the bracket.
    return true;
}

}  // namespace skywire::dmsg::detail
