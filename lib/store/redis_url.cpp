#include "base/bytes.hpp"
#include "store/redis.hpp"

#include <charconv>
#include <optional>

#include <fmt/format.h>

// No message here repeats a part of the URL other than its scheme: where a character of the
// password was not escaped, any part may be a piece of it.

namespace skywire::store {
namespace {

constexpr std::uint16_t kDefaultPort = 6379;

Error bad_url(std::string_view why) {
    return fail(errc::malformed, fmt::format("the Redis URL {}", why));
}

template <class T>
std::optional<T> number(std::string_view text) {
    T value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (text.empty() || error != std::errc() || stop != end) return std::nullopt;
    return value;
}

/// %XX back to bytes; nothing where an escape is broken.
std::optional<std::string> unescaped(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '%') {
            out += text[at];
            continue;
        }
        Bytes byte;
        if (!from_hex(text.substr(at + 1, 2), byte) || byte.size() != 1) return std::nullopt;
        out += as_text(byte);
        at += 2;
    }
    return out;
}

/// Cuts `text` at `mark`: what stands before is returned, `text` keeps what stands behind.
std::optional<std::string_view> cut_until(std::string_view& text, std::size_t mark) {
    if (mark == std::string_view::npos) return std::nullopt;
    const std::string_view before = text.substr(0, mark);
    text.remove_prefix(mark + 1);
    return before;
}

Result<> read_user(std::string_view user_info, RedisUrl& url) {
    const auto name = cut_until(user_info, user_info.find(':'));
    const auto user = unescaped(name.value_or(user_info));
    const auto password = unescaped(name ? user_info : "");
    if (!user || !password) return bad_url("has a broken %XX escape in user or password");
    if (!user->empty() && password->empty()) return bad_url("names a user without a password");
    url.user = *user;
    url.password = *password;
    return {};
}

Result<> read_database(std::string_view text, RedisUrl& url) {
    const auto database = number<unsigned>(text);
    if (!database) return bad_url("has a database that is no number");
    url.database = *database;
    return {};
}

Result<> read_query(std::string_view query, RedisUrl& url) {
    while (!query.empty()) {
        std::string_view value = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), value.size() + 1));
        const auto name = cut_until(value, value.find('='));
        if (name == "db") {
            if (const auto read = read_database(value, url); !read) return read.error();
        } else if (name == "protocol" && value == "3") {
            return fail(
                errc::unsupported,
                "the Redis URL asks for protocol 3 (RESP3), which this build does not speak: use 2"
            );
        } else if (name != "protocol" || value != "2") {
            return bad_url("has an option other than db=N");
        }
    }
    return {};
}

Result<> read_host(std::string_view host_port, RedisUrl& url) {
    std::string_view host = host_port;
    std::string_view port;
    if (host_port.starts_with('[')) {
        const auto end = host_port.find(']');
        if (end == std::string_view::npos) return bad_url("has a [ without its ]");
        host = host_port.substr(1, end - 1);
        port = host_port.substr(end + 1);
    } else if (const auto colon = host_port.rfind(':'); colon != std::string_view::npos) {
        host = host_port.substr(0, colon);
        port = host_port.substr(colon);
        if (host.find(':') != std::string_view::npos) return bad_url("has an IPv6 host without []");
    }
    std::uint16_t number_of_port = kDefaultPort;
    if (!port.empty()) {
        const auto given =
            port.starts_with(':') ? number<std::uint16_t>(port.substr(1)) : std::nullopt;
        if (!given || *given == 0) return bad_url("has a port that is no number from 1 to 65535");
        number_of_port = *given;
    }
    if (host.find_first_of(" \t\r\n@/") != std::string_view::npos) {
        return bad_url("has a host with characters that no host has (escape those of the password)"
        );
    }
    url.address = net::Address::tcp(host.empty() ? "localhost" : std::string(host), number_of_port);
    return {};
}

Result<> refuse_scheme(std::string_view scheme) {
    if (scheme == "redis" || scheme == "unix") return {};
    if (scheme == "rediss") {
        return fail(
            errc::unsupported,
            "rediss:// (Redis over TLS) is not supported by this build: use redis:// to a local "
            "server or through a TLS tunnel"
        );
    }
    if (scheme.find("sentinel") != std::string_view::npos ||
        scheme.find("cluster") != std::string_view::npos) {
        return fail(
            errc::unsupported,
            "Redis Sentinel and Redis Cluster are not supported: give the redis:// URL of one "
            "server"
        );
    }
    return bad_url("has a scheme other than redis:// and unix://");
}

}  // namespace

Result<RedisUrl> RedisUrl::parse(std::string_view text) {
    RedisUrl url;
    std::string_view rest = text;
    std::string_view scheme = "redis";
    if (const auto end = rest.find("://"); end != std::string_view::npos) {
        scheme = rest.substr(0, end);
        rest.remove_prefix(end + 3);
    }
    if (const auto fits = refuse_scheme(scheme); !fits) return fits.error();

    std::string_view query;
    if (const auto mark = rest.find('?'); mark != std::string_view::npos) {
        query = rest.substr(mark + 1);
        rest = rest.substr(0, mark);
    }
    if (const auto user_info = cut_until(rest, rest.rfind('@'))) {
        if (const auto read = read_user(*user_info, url); !read) return read.error();
    }
    if (scheme == "unix") {
        if (rest.empty() || rest.front() != '/') return bad_url("names no absolute socket path");
        url.address = net::Address::unix_path(std::string(rest));
    } else {
        const auto slash = rest.find('/');
        if (const auto read = read_host(rest.substr(0, slash), url); !read) return read.error();
        const auto path = slash == std::string_view::npos ? "" : rest.substr(slash + 1);
        if (!path.empty()) {
            if (const auto read = read_database(path, url); !read) return read.error();
        }
    }
    if (const auto read = read_query(query, url); !read) return read.error();
    return url;
}

std::string RedisUrl::to_string() const {
    if (address.kind == net::Address::Kind::unix_socket) {
        return fmt::format("unix://{}?db={}", address.path, database);
    }
    return fmt::format("redis://{}/{}", address.to_string(), database);
}

}  // namespace skywire::store
