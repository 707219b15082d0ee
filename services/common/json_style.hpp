#pragma once

#include "base/json.hpp"
#include "http/message.hpp"

#include <string>
#include <string_view>

/// The three ways in which the network's services write a JSON body: spec/services-http.md
/// section 1.2. Clients and recorded traffic tell them apart byte by byte.
namespace skywire::services {

enum class JsonStyle {
    /// No Content-Type of its own, so text/plain; ends with a newline; HTML characters escaped.
    a,
    /// application/json without a newline; otherwise as A.
    b,
    /// application/json, ends with a newline, nothing escaped for HTML, floats with at most six
    /// decimals.
    c,
};

/// How strings inside a body of this style are escaped.
constexpr JsonEscape escape_of(JsonStyle style) noexcept {
    return style == JsonStyle::c ? JsonEscape::plain : JsonEscape::html;
}

/// Appends a JSON string.
void append_string(std::string& out, std::string_view text, JsonStyle style);

/// Appends a finite number. A and B: the shortest text that reads back as the same value, with an
/// exponent below 1e-6 and from 1e21 on. C: rounded to six decimals, trailing zeros cut; magnitudes
/// above 83886079 as in A.
void append_float(std::string& out, double value, JsonStyle style);

/// A response with `text` as its body, in the style's type and ending.
http::Response json_response(unsigned status, std::string text, JsonStyle style);

/// `{"error":"<text>"}`.
http::Response error_response(unsigned status, std::string_view text, JsonStyle style);

/// `{"error":{"message":"<text>","code":<status>}}` in style C: what authentication answers.
http::Response auth_error_response(unsigned status, std::string_view text);

}  // namespace skywire::services
