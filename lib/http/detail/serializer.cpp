#include "http/detail/serializer.hpp"

#include "http/uri.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/chrono.h>

namespace skywire::http::detail {
namespace {

bool is_token(std::string_view text) noexcept {
    if (text.empty()) return false;
    return std::all_of(text.begin(), text.end(), [](char c) {
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
        return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
    });
}

void append_number(std::string& out, std::size_t number, int base = 10) {
    std::array<char, 24> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base).ptr;
    out.append(digits.data(), end);
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
    if (!is_token(name)) return;
    out.append(name).append(": ");
    const auto from = out.size();
    out.append(value);
    std::replace_if(
        out.begin() + static_cast<std::ptrdiff_t>(from),
        out.end(),
        [](char c) { return c == '\r' || c == '\n' || c == '\0'; },
        ' '
    );
    out.append("\r\n");
}

/// Fields that say where the message ends and what becomes of the connection: written by us alone.
bool is_ours(std::string_view name) noexcept {
    switch (name.size()) {
        case 10:
            return equal_ignoring_case(name, "Connection") ||
                   equal_ignoring_case(name, "Keep-Alive");
        case 14:
            return equal_ignoring_case(name, "Content-Length");
        case 17:
            return equal_ignoring_case(name, "Transfer-Encoding");
        default:
            return false;
    }
}

}  // namespace

bool has_no_body(unsigned status) noexcept {
    return status / 100 == 1 || status == 204 || status == 304;
}

void append_head(std::string& out, const Response& response, const HeadOptions& options) {
    out.append(options.http11 ? "HTTP/1.1 " : "HTTP/1.0 ");
    append_number(out, response.status);
    out.append(" ").append(reason_phrase(response.status)).append("\r\n");
    bool dated = false;
    for (const auto& [name, value] : response.fields) {
        if (is_ours(name)) continue;
        dated = dated || equal_ignoring_case(name, "Date");
        append_field(out, name, value);
    }
    if (!dated) out.append("Date: ").append(options.date).append("\r\n");
    switch (options.framing) {
        case Framing::length:
            out.append("Content-Length: ");
            append_number(out, options.body_bytes);
            out.append("\r\n");
            break;
        case Framing::chunked:
            out.append("Transfer-Encoding: chunked\r\n");
            break;
        case Framing::until_close:
        case Framing::none:
            break;
    }
    if (!options.keep_alive) {
        out.append("Connection: close\r\n");
    } else if (!options.http11) {
        out.append("Connection: keep-alive\r\n");
    }
    out.append("\r\n");
}

void append_request_head(
    std::string& out,
    Method method,
    std::string_view target,
    std::string_view host,
    const Fields& fields,
    std::size_t body_bytes
) {
    out.append(method_name(method)).append(" ").append(target).append(" HTTP/1.1\r\n");
    if (!fields.get("Host")) append_field(out, "Host", host);
    for (const auto& [name, value] : fields) {
        if (!is_ours(name)) append_field(out, name, value);
    }
    const bool usual = method == Method::post || method == Method::put || method == Method::patch;
    if (body_bytes > 0 || usual) {
        out.append("Content-Length: ");
        append_number(out, body_bytes);
        out.append("\r\n");
    }
    // HTTP/1.1 keeps connections without being asked.
    out.append("\r\n");
}

void append_chunk_size(std::string& out, std::size_t bytes) {
    append_number(out, bytes, 16);
    out.append("\r\n");
}

std::string_view DateText::at(WallTime now) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch());
    if (seconds != made_for_ || text_.empty()) {
        made_for_ = seconds;
        text_ = fmt::format(
            "{:%a, %d %b %Y %H:%M:%S} GMT", fmt::gmtime(static_cast<std::time_t>(seconds.count()))
        );
    }
    return text_;
}

}  // namespace skywire::http::detail
