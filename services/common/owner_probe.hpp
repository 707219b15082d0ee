#pragma once

#include "crypto/keys.hpp"
#include "dmsg/client.hpp"
#include "net/context.hpp"

#include <memory>

namespace skywire::services {

/// What a probe found.
enum class Life {
    alive,
    /// It did not answer although we could reach a server of it all the while.
    silent,
    /// Nothing can be said: no session with a server of it, no server, no discovery.
    unknown,
};

/// Asks a key whether it lives. One event loop.
class Prober {
 public:
    virtual ~Prober() = default;

    /// Asks for at most 10 s. Cancelled: `unknown`.
    virtual Task<Life> probe(crypto::PublicKey owner) = 0;
};

/// Opens a dmsg stream to the owner's port 7, which every visor answers, and closes it: through
/// each server that the owner's entry names and that we have a session with. `client` outlives it.
std::unique_ptr<Prober> make_dmsg_prober(const net::Context& context, dmsg::Client& client);

}  // namespace skywire::services
