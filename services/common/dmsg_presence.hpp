#pragma once

#include "dmsg/client.hpp"
#include "dmsg/discovery_client.hpp"
#include "framework/block.hpp"
#include "framework/service.hpp"
#include "http/client.hpp"
#include "net/scope.hpp"
#include "services/common/common_fields.hpp"

#include <memory>
#include <string>
#include <vector>

namespace skywire::services {

/// How a service lives on dmsg: spec/framework.md section 3.2, spec/services-http.md section 11.
struct DmsgConfig {
    explicit DmsgConfig(crypto::KeyPair keys_in) : keys(std::move(keys_in)) {}

    crypto::KeyPair keys;
    /// "http://host:port", "dmsg://KEY:PORT"; empty: not that way.
    std::string discovery;
    std::string discovery_dmsg;
    /// Sessions to keep; 0: one with every server, since callers pick any.
    std::size_t sessions_count = 0;
    std::string server_type;
    std::vector<dmsg::Entry> servers;
    std::uint16_t port = 80;
};

/// Decodes the common block and its `dmsg` object; nothing where the block has no secret key.
std::optional<DmsgConfig> dmsg_config(const framework::Block& block, const CommonConfig& common);

/// The servers of a list in the shape of `server_entries_field`.
std::vector<dmsg::Entry> server_entries(const framework::Block& block, std::string_view key);

/// Rules of the `dmsg` object: URLs that can be dialled, entries with addresses.
void check_dmsg(const framework::Block& block, framework::Problems& problems);

/// The same, but for its network: a presence's, say, which outlives what gets the context.
net::Context with_network(const net::Context& context, net::Network& network);

/// One client for a service's key, with its ways to the discovery, and a network that dials keys.
/// Used on the service's loop.
class DmsgPresence {
 public:
    /// `host` outlives it. `own` is asked instead of the configured discovery (the discovery's own
    /// store); null: as configured, over dmsg first where both ways are.
    DmsgPresence(
        framework::ServiceHost& host,
        const DmsgConfig& config,
        std::unique_ptr<dmsg::DiscoveryClient> own = nullptr
    );
    ~DmsgPresence();
    DmsgPresence(const DmsgPresence&) = delete;
    DmsgPresence& operator=(const DmsgPresence&) = delete;

    /// Begins to connect, and answers pings on the control port.
    void start();

    dmsg::Client& client() noexcept { return client_; }
    /// Dials keys over dmsg and everything else as before: for the service's own HTTP client.
    net::Network& network() noexcept { return network_; }

    /// The dmsg port of HTTP.
    std::uint16_t port() const noexcept { return port_; }
    /// "KEY:PORT", for /health.
    std::string address() const;

    /// Check "dmsg": warn without a session, since HTTP serves all the same.
    framework::Check check() const;

    /// The names of what had not ended at `deadline`.
    Task<std::vector<std::string>> stop(SteadyTime deadline);

 private:
    std::unique_ptr<dmsg::DiscoveryClient> make_discovery(const DmsgConfig& config);

    net::Context context_;
    std::uint16_t port_;
    dmsg::DmsgNetwork network_;
    net::Context dmsg_context_;
    /// The look-ups' own: over dmsg for discovery_dmsg, over TCP for the rest.
    http::Client http_;
    dmsg::Client client_;
    net::Scope scope_;
};

}  // namespace skywire::services
