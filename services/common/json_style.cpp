#include "services/common/json_style.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace skywire::services {
namespace {

/// Above it style C does not round: the largest value that the network's encoder multiplies by a
/// million.
constexpr double kRoundedMax = 0x4ffffff;

void append_shortest(std::string& out, double value) {
    const double magnitude = std::abs(value);
    const bool exponent = magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21);
    std::array<char, 32> buffer{};
    const auto written = std::to_chars(
        buffer.data(),
        buffer.data() + buffer.size(),
        value,
        exponent ? std::chars_format::scientific : std::chars_format::fixed
    );
    std::string text(buffer.data(), written.ptr);
    // "1e-09" is written "1e-9".
    const auto zero = text.find("e-0");
    if (zero != std::string::npos) text.erase(zero + 2, 1);
    out += text;
}

void append_rounded(std::string& out, double value) {
    // The sign stands even where the rest rounds to zero.
    if (value < 0) out += '-';
    const auto millionths = static_cast<std::uint64_t>(std::abs(value) * 1e6 + 0.5);
    out += std::to_string(millionths / 1'000'000);
    std::uint64_t rest = millionths % 1'000'000;
    if (rest == 0) return;
    std::string digits = std::to_string(rest + 1'000'000).substr(1);
    digits.erase(digits.find_last_not_of('0') + 1);
    out += '.';
    out += digits;
}

}  // namespace

void append_string(std::string& out, std::string_view text, JsonStyle style) {
    append_json_string(out, text, escape_of(style));
}

void append_float(std::string& out, double value, JsonStyle style) {
    if (style == JsonStyle::c && std::abs(value) <= kRoundedMax) {
        append_rounded(out, value);
    } else {
        append_shortest(out, value);
    }
}

http::Response json_response(unsigned status, std::string text, JsonStyle style) {
    if (style != JsonStyle::b) text += '\n';
    if (style == JsonStyle::a)
        return http::Response::of(status, "text/plain; charset=utf-8", std::move(text));
    return http::Response::json(status, std::move(text));
}

http::Response error_response(unsigned status, std::string_view text, JsonStyle style) {
    std::string body = R"({"error":)";
    append_string(body, text, style);
    body += '}';
    return json_response(status, std::move(body), style);
}

http::Response auth_error_response(unsigned status, std::string_view text) {
    std::string body = R"({"error":{"message":)";
    append_string(body, text, JsonStyle::c);
    body += R"(,"code":)" + std::to_string(status) + "}}";
    return json_response(status, std::move(body), JsonStyle::c);
}

}  // namespace skywire::services
