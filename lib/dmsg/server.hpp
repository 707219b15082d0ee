#pragma once

#include "dmsg/discovery_client.hpp"
#include "dmsg/server_options.hpp"
#include "net/context.hpp"
#include "net/network.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace skywire::dmsg {

/// A dmsg server: takes sessions of clients, bridges streams between them without decrypting them,
/// answers pings and IP look-ups, and keeps its entry in the discovery. spec/dmsg.md sections 4, 8,
/// 9, 11 and 14.
///
/// Sessions are spread over event loops; everything here is called on the first of them. What is
/// counted stands in docs/metrics.md (dmsg_server_*).
class Server {
 public:
    Server(
        const net::Context& context,
        ServerOptions options,
        std::unique_ptr<DiscoveryClient> discovery
    );
    /// `stop` has been awaited, or `start` was never called.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Begins to register and to dial peers; `on_registered` is called once, when the entry stands
    /// in the discovery.
    void start(std::function<void()> on_registered);

    /// Takes connections of this listener until the server drains; after `start`. Raw sessions and
    /// WebSockets may come on any; `websocket_only` refuses the raw ones.
    void serve(std::unique_ptr<net::Listener> listener, bool websocket_only = false);
    /// Takes one connection made elsewhere, on the first loop.
    void serve(std::unique_ptr<net::Stream> stream);

    struct Status {
        std::size_t client_sessions = 0;
        std::size_t peer_sessions = 0;
        std::size_t active_streams = 0;
        std::uint64_t streams_relayed = 0;
        std::uint64_t bytes_up = 0;
        std::uint64_t bytes_down = 0;
        bool registered = false;
        /// Why the entry does not stand in the discovery; empty where it does.
        std::string trouble;
    };
    Status status() const;

    /// Removes the entry, takes no new connections and streams, tells the clients so, and returns
    /// when no stream is bridged any more, or at the deadline.
    Task<> drain(SteadyTime deadline);

    /// Ends everything; the names of what had not ended at `deadline`.
    Task<std::vector<std::string>> stop(SteadyTime deadline);

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::dmsg
