#pragma once

#include "base/clock.hpp"
#include "crypto/keys.hpp"
#include "dmsg/server/admission.hpp"
#include "net/address.hpp"
#include "net/task.hpp"

#include <string>
#include <utility>
#include <vector>

namespace skywire::dmsg {

/// Another server, to which this one keeps a session, so that each reaches the other's clients.
struct ServerPeer {
    crypto::PublicKey key;
    net::Address address;
};

/// How a server lives; spec/dmsg.md sections 9 and 19. The defaults are the network's.
struct ServerOptions {
    explicit ServerOptions(crypto::KeyPair keys_in) : keys(std::move(keys_in)) {}

    crypto::KeyPair keys;
    /// The event loops that sessions are spread over, the owner's first; empty: the owner's alone.
    std::vector<Executor> loops;
    /// What the entry in the discovery says: "host:port", and a "ws://.../dmsg" URL.
    std::string address;
    std::string address_v6;
    std::string address_ws;
    /// Makes the server an official one; empty: none.
    std::string auth_passphrase;
    /// The entry is renewed at least this often.
    Duration update_interval{std::chrono::minutes(1)};
    /// Connections may begin with a PROXY header, which names the peer.
    bool accept_proxy_header = true;
    std::vector<ServerPeer> peers;
    ServerLimits limits;
    /// For the request of a stream to come, and for its response.
    Duration request_timeout{std::chrono::seconds(5)};
    Duration response_timeout{std::chrono::seconds(5)};
    /// A bridged stream without a byte in either direction for this long is closed. Transports of
    /// visors are such streams, may say nothing for hours, and are not made again once they end.
    Duration idle_timeout{std::chrono::hours(24)};
};

}  // namespace skywire::dmsg
