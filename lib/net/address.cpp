#include "net/address.hpp"

#include <algorithm>

#include <boost/asio/ip/address.hpp>
#include <fmt/format.h>

namespace skywire::net {
namespace {

namespace asio = boost::asio;

// sun_path is 108 bytes with its final zero.
constexpr std::size_t kUnixPathMax = 107;
constexpr std::size_t kHostMax = 253;
constexpr std::size_t kLabelMax = 63;

Error bad_address(std::string_view text, std::string_view rule) {
    return fail(errc::malformed, fmt::format("address {}: {}", quote_peer_text(text, 80), rule));
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_name_character(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

Result<std::uint16_t> parse_port(std::string_view text, std::string_view port) {
    if (port.empty()) return bad_address(text, "the port is missing");
    if (!std::all_of(port.begin(), port.end(), is_digit)) {
        return bad_address(text, "the port is not a number");
    }
    if (port.size() > 1 && port[0] == '0') return bad_address(text, "the port starts with 0");
    std::uint32_t value = 0;
    for (const char c : port.substr(0, 6))
        value = value * 10 + static_cast<std::uint32_t>(c - '0');
    if (value > 65535) {
        return fail(
            errc::out_of_range,
            fmt::format("address {}: the port is above 65535", quote_peer_text(text, 80))
        );
    }
    return static_cast<std::uint16_t>(value);
}

/// A host name, or a v4 literal; what looks like a literal must be one.
Result<> check_name(std::string_view text, std::string_view host) {
    if (host.size() > kHostMax) return bad_address(text, "the host is longer than 253 bytes");
    bool digits_and_dots = true;
    std::size_t label = 0;
    for (std::size_t i = 0; i < host.size(); ++i) {
        if (host[i] == '.') {
            if (label == 0) return bad_address(text, "the host has an empty label");
            label = 0;
            continue;
        }
        if (!is_name_character(host[i])) {
            return bad_address(text, "the host has a character that no name or IP address has");
        }
        digits_and_dots = digits_and_dots && is_digit(host[i]);
        if (++label > kLabelMax) {
            return bad_address(text, "a label of the host is longer than 63 bytes");
        }
    }
    if (host.empty() || !digits_and_dots) return {};
    ErrorCode ec;
    asio::ip::make_address_v4(std::string(host), ec);
    if (ec) return bad_address(text, "the host is not an IPv4 address");
    return {};
}

Result<Address> parse_unix(std::string_view text, std::string_view path) {
    if (path.empty()) return bad_address(text, "the path is missing");
    if (path.size() > kUnixPathMax) {
        return bad_address(text, "the path of a unix socket has at most 107 bytes");
    }
    if (path.find('\0') != std::string_view::npos)
        return bad_address(text, "the path has a zero byte");
    return Address::unix_path(std::string(path));
}

Result<Address> parse_bracketed(std::string_view text) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return bad_address(text, "the ] is missing");
    ErrorCode ec;
    const std::string_view host = text.substr(1, end - 1);
    const auto v6 = asio::ip::make_address_v6(std::string(host), ec);
    if (ec) return bad_address(text, "what stands in brackets is not an IPv6 address");
    if (host.find('%') != std::string_view::npos && v6.scope_id() == 0) {
        return bad_address(text, "no interface has the name behind the %");
    }
    if (end + 1 >= text.size() || text[end + 1] != ':') {
        return bad_address(text, "no :port follows the ]");
    }
    const auto port = parse_port(text, text.substr(end + 2));
    if (!port) return port.error();
    return Address::tcp(v6.to_string(), *port);
}

}  // namespace

Result<Address> Address::parse(std::string_view text) {
    constexpr std::string_view kUnixPrefix = "unix:";
    if (text.empty()) return bad_address(text, "is empty; expected host:port or unix:PATH");
    if (text.starts_with(kUnixPrefix)) return parse_unix(text, text.substr(kUnixPrefix.size()));
    if (text[0] == '[') return parse_bracketed(text);
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return bad_address(text, "no :port follows the host");
    const std::string_view host = text.substr(0, colon);
    if (host.find(':') != std::string_view::npos) {
        return bad_address(
            text, "more than one colon; an IPv6 address stands in brackets, [::1]:80"
        );
    }
    const auto port = parse_port(text, text.substr(colon + 1));
    if (!port) return port.error();
    if (const auto name = check_name(text, host); !name) return name.error();
    return tcp(std::string(host), *port);
}

Address Address::tcp(std::string host, std::uint16_t port) {
    Address address;
    address.host = std::move(host);
    address.port = port;
    return address;
}

Address Address::unix_path(std::string path) {
    Address address;
    address.kind = Kind::unix_socket;
    address.path = std::move(path);
    return address;
}

std::string Address::to_string() const {
    switch (kind) {
        case Kind::tcp: {
            const bool brackets = host.find(':') != std::string::npos;
            return fmt::format(fmt::runtime(brackets ? "[{}]:{}" : "{}:{}"), host, port);
        }
        case Kind::unix_socket:
            return "unix:" + path;
    }
    return {};
}

}  // namespace skywire::net
