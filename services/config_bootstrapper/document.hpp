#pragma once

#include "crypto/keys.hpp"
#include "framework/block_facts.hpp"

#include <array>
#include <string>
#include <string_view>
#include <vector>

/// What a visor is told of a deployment: which services there are, how they are reached, which keys
/// count. spec/services-http.md section 10. No I/O.
namespace skywire::config_bootstrapper {

/// The services that have a URL.
enum class Part {
    dmsg_discovery,
    transport_discovery,
    address_resolver,
    route_finder,
    uptime_tracker,
    service_discovery,
};
inline constexpr std::array kParts{
    Part::dmsg_discovery,
    Part::transport_discovery,
    Part::address_resolver,
    Part::route_finder,
    Part::uptime_tracker,
    Part::service_discovery,
};

/// "dmsg_discovery": its member; that of its URL over dmsg has "_dmsg" behind.
std::string_view member(Part part) noexcept;

/// A dmsg-server.
struct Server {
    crypto::PublicKey key;
    std::string address;

    bool operator==(const Server&) const = default;
};

struct Document {
    /// By Part; empty: not known.
    std::array<std::string, kParts.size()> urls;
    /// "dmsg://KEY:PORT", by Part; empty: not known.
    std::array<std::string, kParts.size()> dmsg_urls;
    std::vector<crypto::PublicKey> route_setup_nodes;
    std::vector<crypto::PublicKey> transport_setup;
    std::vector<crypto::PublicKey> survey_whitelist;
    /// "host:port"
    std::vector<std::string> stun_servers;
    std::string dns_server;
    std::vector<Server> dmsg_servers;

    std::string& url(Part part) { return urls[static_cast<std::size_t>(part)]; }
    const std::string& url(Part part) const { return urls[static_cast<std::size_t>(part)]; }
    std::string& dmsg_url(Part part) { return dmsg_urls[static_cast<std::size_t>(part)]; }
    const std::string& dmsg_url(Part part) const {
        return dmsg_urls[static_cast<std::size_t>(part)];
    }

    bool operator==(const Document&) const = default;
};

/// Which ways to the services a text names.
enum class Ways { all, http, dmsg };

/// The body of GET /, without a newline: the members that visors of 2024 know in their order,
/// behind them those of 2026 that are known: dmsg_servers, *_dmsg.
std::string to_json(const Document& document, Ways ways = Ways::all);

/// The body of GET /dmsghttp, without a newline: dmsg_servers and the URLs over dmsg.
std::string to_dmsghttp_json(const Document& document);

inline constexpr std::string_view kDefaultDomain = "skywire.skycoin.com";

/// Fills in what `said` leaves open and the blocks of the same file tell, wherever they run. A
/// transport-discovery that is named or beside is the uptime-tracker, too. A block that listens on
/// every interface is named by 127.0.0.1.
Document completed(Document said, const std::vector<framework::DeploymentBlock>& blocks);

/// Fills in the URLs that are still open: "http://tpd.DOMAIN" and so on.
void add_domain(Document& document, std::string_view domain);

}  // namespace skywire::config_bootstrapper
