#pragma once

#include "base/clock.hpp"
#include "crypto/keys.hpp"
#include "net/context.hpp"
#include "net/stream.hpp"
#include "noise/handshake.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

/// What connections of protocol 3 run over, and how one gets there: spec/cxo.md section 4.
namespace skywire::cxo {

enum class Carrier {
    /// TCP as it is. Nobody is authenticated: for open feeds alone.
    plain,
    /// Noise XX over TCP, both static keys those of the nodes; each side learns the other's.
    noise,
    /// A dmsg stream, which has proven the caller's key already.
    dmsg,
};
std::string_view carrier_name(Carrier carrier) noexcept;

/// A stream that is ready for protocol 3.
struct Carried {
    std::unique_ptr<net::Stream> stream;
    /// Whom it has proven to be at the other end; null: nobody.
    crypto::PublicKey key;
};

/// Makes a fresh stream ready until `deadline`; on an error it is closed and gone. Who dials is the
/// initiator. Errors: those of noise_handshake, errc::malformed where the peer of a dmsg stream
/// has no key.
Task<Result<Carried>> carry(
    net::Context context,
    Carrier carrier,
    noise::Role role,
    crypto::KeyPair own,
    std::unique_ptr<net::Stream> stream,
    SteadyTime deadline
);

/// A way to a node: how its streams are dialled. Copies are cheap.
struct Route {
    Carrier carrier = Carrier::plain;
    /// Called for each attempt; what it refers to outlives whoever has the route.
    std::function<Task<Result<std::unique_ptr<net::Stream>>>()> dial;
    /// For logs and tables: "tcp://host:port", "noise://...", "dmsg://KEY:PORT".
    std::string name;
};

Route plain_route(const net::Context& context, const net::Address& address);
Route noise_route(const net::Context& context, const net::Address& address);
/// The context's network dials keys: a dmsg::DmsgNetwork. (dmsg::Client::dial does, too.)
Route dmsg_route(const net::Context& context, const crypto::PublicKey& key, std::uint16_t port);

}  // namespace skywire::cxo
