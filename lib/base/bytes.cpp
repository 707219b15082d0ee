#include "base/bytes.hpp"

#include <array>

namespace skywire {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";
constexpr std::string_view kBase64Digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr int hex_value(char digit) noexcept {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

constexpr std::array<signed char, 256> make_base64_values() {
    std::array<signed char, 256> values{};
    values.fill(-1);
    for (std::size_t i = 0; i < kBase64Digits.size(); ++i) {
        values[static_cast<unsigned char>(kBase64Digits[i])] = static_cast<signed char>(i);
    }
    return values;
}

constexpr auto kBase64Values = make_base64_values();

}  // namespace

std::string to_hex(ByteSpan bytes) {
    std::string text(bytes.size() * 2, '\0');
    auto digit = text.begin();
    for (const std::byte b : bytes) {
        *digit++ = kHexDigits[std::to_integer<std::size_t>(b >> 4)];
        *digit++ = kHexDigits[std::to_integer<std::size_t>(b & std::byte{15})];
    }
    return text;
}

bool from_hex(std::string_view text, Bytes& into) {
    if (text.size() % 2 != 0) return false;
    Bytes bytes(text.size() / 2);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const int high = hex_value(text[2 * i]);
        const int low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        bytes[i] = static_cast<std::byte>(high * 16 + low);
    }
    into = std::move(bytes);
    return true;
}

std::string to_base64(ByteSpan bytes) {
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const std::size_t left = bytes.size() - i;
        std::uint32_t group = std::to_integer<std::uint32_t>(bytes[i]) << 16;
        if (left > 1) group |= std::to_integer<std::uint32_t>(bytes[i + 1]) << 8;
        if (left > 2) group |= std::to_integer<std::uint32_t>(bytes[i + 2]);
        text.push_back(kBase64Digits[group >> 18]);
        text.push_back(kBase64Digits[group >> 12 & 63]);
        text.push_back(left > 1 ? kBase64Digits[group >> 6 & 63] : '=');
        text.push_back(left > 2 ? kBase64Digits[group & 63] : '=');
    }
    return text;
}

bool from_base64(std::string_view text, Bytes& into) {
    if (text.size() % 4 != 0) return false;
    std::size_t padding = 0;
    while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=')
        ++padding;
    const std::string_view digits = text.substr(0, text.size() - padding);
    Bytes bytes;
    bytes.reserve(text.size() / 4 * 3);
    std::uint32_t group = 0;
    unsigned bits = 0;
    for (const char c : digits) {
        const int value = kBase64Values[static_cast<unsigned char>(c)];
        if (value < 0) return false;
        group = group << 6 | static_cast<std::uint32_t>(value);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes.push_back(static_cast<std::byte>(group >> bits & 255));
        }
    }
    // Bits that belong to no byte must be zero, else two texts would mean the same bytes.
    if ((group & ((1U << bits) - 1U)) != 0) return false;
    into = std::move(bytes);
    return true;
}

bool equal_in_constant_time(ByteSpan a, ByteSpan b) noexcept {
    if (a.size() != b.size()) return false;
    std::byte difference{0};
    for (std::size_t i = 0; i < a.size(); ++i)
        difference |= a[i] ^ b[i];
    return difference == std::byte{0};
}

}  // namespace skywire
