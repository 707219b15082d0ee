#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "net/address.hpp"

#include <cstddef>
#include <optional>

namespace skywire::net {

/// The PROXY protocol, versions 1 (text) and 2 (binary): what a load balancer writes before a
/// connection's first byte to name the real peer. The format is HAProxy's "The PROXY protocol",
/// sections 2.1 and 2.2; who accepts it is said in spec/dmsg.md and spec/services-http.md.
///
/// A core without I/O. Whoever trusts the header decides so: anybody can write one.
struct ProxyHeader {
    enum class State {
        /// What is there may still become a header: read more and ask again with all of it.
        need_more,
        /// The connection starts with something else; nothing is to be skipped.
        absent,
        /// A header of `size` bytes; the connection's own bytes follow it.
        complete,
    };

    State state = State::absent;
    std::size_t size = 0;
    /// The peer and the address it dialled; both empty where the sender speaks for itself (LOCAL, a
    /// health check) or does not know (UNKNOWN, an unknown address family).
    std::optional<Address> source;
    std::optional<Address> destination;
};

/// No header is longer: version 1 has at most 107 bytes, version 2 an address and extensions, which
/// are skipped.
inline constexpr std::size_t kProxyHeaderMax = 2048;

/// Looks at the first bytes of a connection; never needs more than kProxyHeaderMax of them. Errors:
/// errc::malformed once they can be nothing but a header, and break its rules.
Result<ProxyHeader> parse_proxy_header(ByteSpan bytes);

}  // namespace skywire::net
