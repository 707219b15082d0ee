#pragma once

#include "crypto/keys.hpp"
#include "net/context.hpp"
#include "net/stream.hpp"
#include "noise/handshake.hpp"

#include <memory>

/// The beginning of a session: Noise XK in three frames on a fresh connection, spec/dmsg.md
/// section 4. Each frame is length(2, big-endian) and message.
namespace skywire::dmsg {

/// Time for a whole handshake.
inline constexpr std::chrono::seconds kHandshakeTimeout{5};

/// A connection whose two ends know each other.
struct Handshaken {
    std::unique_ptr<net::Stream> carrier;
    crypto::PublicKey remote;
    noise::TransportKeys keys;
    /// What came behind the last message: the multiplexer's first bytes.
    Bytes surplus;
};

/// As the dialer: the server's key is known. Ends within kHandshakeTimeout; the connection is
/// closed where it fails. Errors: errc::timed_out, closed, the carrier's, noise::errc.
Task<Result<Handshaken>> handshake_as_client(
    net::Context context,
    std::unique_ptr<net::Stream> carrier,
    crypto::KeyPair local,
    crypto::PublicKey server
);

/// As the acceptor; `received` is what was read of the connection already.
Task<Result<Handshaken>> handshake_as_server(
    net::Context context,
    std::unique_ptr<net::Stream> carrier,
    crypto::KeyPair local,
    Bytes received = {}
);

}  // namespace skywire::dmsg
