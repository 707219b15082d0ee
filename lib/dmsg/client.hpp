#pragma once

#include "crypto/keys.hpp"
#include "dmsg/address.hpp"
#include "dmsg/discovery_client.hpp"
#include "net/context.hpp"
#include "net/network.hpp"

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace skywire::dmsg {

/// How a client lives; spec/dmsg.md section 10. The defaults are those of the network.
struct ClientOptions {
    ClientOptions(crypto::KeyPair keys_in) : keys(std::move(keys_in)) {}

    crypto::KeyPair keys;
    /// Sessions to keep; 0: with every server there is.
    std::size_t sessions_min = 1;
    /// "official", "community"; empty: any.
    std::string server_type;
    /// Say in the discovery through which servers we are reached. Direct clients do not.
    bool publish_entry = true;
    /// Members of our entry that older discoveries refuse; posted without them after a 401.
    std::string client_type;
    /// "" or "yamux", "smux": the multiplexer of our sessions.
    std::string protocol;
    /// Servers known beforehand. With `publish_entry` off these are all there are.
    std::vector<Entry> servers;
    /// Keys that every server of `servers` (else every connected one) delegates for, and that are
    /// therefore never looked up: the discovery's own above all, or a look-up over dmsg would need
    /// a look-up. Deployment services have no entry either.
    std::set<crypto::PublicKey> direct_keys;
    /// Servers that take a multiplexer's first bytes right behind the handshake: ours. All others
    /// are left in peace for 100 ms (section 4).
    std::set<crypto::PublicKey> prompt_servers;
    /// Streams not yet accepted, of each listener; more are closed.
    std::size_t backlog_max = 256;
    /// Streams at one time through one session.
    std::size_t streams_max = 2048;
    Duration dial_timeout{std::chrono::seconds(20)};
    Duration entry_refresh{std::chrono::minutes(5)};
};

/// A key's presence on dmsg: sessions with servers, kept; its entry in the discovery, kept true;
/// dialling and listening. One event loop. All metrics are named dmsg_client_*.
class Client {
 public:
    /// Nothing happens before `start`.
    Client(
        const net::Context& context,
        ClientOptions options,
        std::unique_ptr<DiscoveryClient> discovery
    );
    /// `stop` has been awaited, or `start` was never called.
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    /// Begins to connect and to keep itself connected.
    void start();

    /// Waits for the first session, and with `publish_entry` for the entry that names it.
    /// Errors: errc::cancelled, errc::closed.
    Task<Result<>> wait_ready();
    bool ready() const noexcept;

    /// Opens a stream: through sessions that exist with servers the destination delegates to, else
    /// through new ones, else through any session (section 10). Errors: errc::timed_out, Code
    /// (not in discovery, no delegated servers, cannot connect), what the last try ended with.
    Task<Result<std::unique_ptr<net::Stream>>> dial(Address to);

    /// The same through one server, connected to where it is not; `server` is its key.
    Task<Result<std::unique_ptr<net::Stream>>> dial_through(crypto::PublicKey server, Address to);

    /// Takes a port; 0 takes a free one above 49152. The streams' `remote()` has the caller's key
    /// as its host. Code::port_occupied.
    Result<std::unique_ptr<net::Listener>> listen(std::uint16_t port);

    /// A session with a server, made where there is none; how long that took (zero where it was
    /// there).
    Task<Result<Duration>> connect(crypto::PublicKey server);
    /// Round trip to a connected server.
    Task<Result<Duration>> ping_server(crypto::PublicKey server);
    /// Our address as servers see it.
    Task<Result<std::string>> look_up_ip();

    const crypto::PublicKey& key() const noexcept;
    /// Keys of the servers we have a session with, sorted.
    std::vector<crypto::PublicKey> servers() const;
    /// Why there is no session, or why the entry is not written; empty where all is well.
    std::string trouble() const;

    /// Told whenever `servers()` changes.
    void on_change(std::function<void()> callback);

    DiscoveryClient& discovery() noexcept;

    /// Removes the entry, tells servers, closes everything; the names of what was late.
    Task<std::vector<std::string>> stop(SteadyTime deadline);

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

/// A network for which keys are hosts: dialling "66 digits:port" opens a dmsg stream, all other
/// addresses are `below`'s. So an http::Client whose context has this network reaches
/// dmsg://PK:port/path, the discovery's too, for which it is made before its client.
class DmsgNetwork final : public net::Network {
 public:
    /// `below` outlives it.
    explicit DmsgNetwork(net::Network& below) : below_(below) {}

    /// The client that dials, from now on; it is used on its own loop. Null: none.
    void attach(Client* client) noexcept { client_ = client; }

    Result<std::unique_ptr<net::Listener>> listen(Executor loop, const net::Address& address)
        override;
    /// errc::unavailable for a key while there is no client.
    Task<Result<std::unique_ptr<net::Stream>>> dial(Executor loop, net::Address address) override;
    Result<std::unique_ptr<net::Datagram>> bind_udp(Executor loop, const net::Address& address)
        override;

 private:
    net::Network& below_;
    Client* client_ = nullptr;
};

}  // namespace skywire::dmsg
