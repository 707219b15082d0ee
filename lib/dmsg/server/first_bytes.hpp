#pragma once

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "net/address.hpp"

#include <optional>

namespace skywire::dmsg::detail {

/// What a connection to a server's port begins with: spec/dmsg.md section 4, "First bytes on the
/// port". A core without I/O.
struct FirstBytes {
    enum class Kind {
        /// Read more and ask again with all of it.
        need_more,
        /// A Noise handshake.
        handshake,
        /// An HTTP request for a WebSocket.
        websocket,
        /// Anything else.
        refused,
    };

    Kind kind = Kind::need_more;
    /// Bytes of a PROXY header in front.
    std::size_t skip = 0;
    /// The peer that the PROXY header names.
    std::optional<net::Address> source;
};

/// Never needs more than kFirstBytesMax. Errors: errc::malformed for a broken PROXY header.
Result<FirstBytes> look_at_first_bytes(ByteSpan bytes, bool accept_proxy_header);

/// A PROXY header and the beginning of what follows.
inline constexpr std::size_t kFirstBytesMax = 2048 + 16;

}  // namespace skywire::dmsg::detail
