#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace skywire::net {

/// Where to listen or dial: "host:port", "[v6]:port", ":port" (all interfaces) or "unix:PATH".
/// A host is an IP literal or a name; names are resolved when dialled.
struct Address {
    enum class Kind { tcp, unix_socket };

    Kind kind = Kind::tcp;
    /// Empty: every interface.
    std::string host;
    std::uint16_t port = 0;
    std::string path;

    static Result<Address> parse(std::string_view text);
    static Address tcp(std::string host, std::uint16_t port);
    static Address unix_path(std::string path);

    /// The text form again; a v6 literal gets its brackets.
    std::string to_string() const;

    bool operator==(const Address&) const = default;
    auto operator<=>(const Address&) const = default;
};

}  // namespace skywire::net
