#pragma once

#include "base/metrics.hpp"
#include "dmsg/discovery_client.hpp"
#include "http/client.hpp"
#include "net/context.hpp"
#include "services/config_bootstrapper/document.hpp"

#include <set>

namespace skywire::config_bootstrapper {

/// Learns what a document leaves open from the services themselves: the key of each from the
/// `dmsg_address` of its GET /health, the dmsg-servers from the discovery. Used on one event loop.
class Lookups {
 public:
    /// `client` outlives it; `discovery` may be null.
    Lookups(const net::Context& context, http::Client& client, dmsg::DiscoveryClient* discovery);

    /// Asks the services `asked` for keys that are open in `document` or came from here before, and
    /// the discovery for all servers: those it has replace those there are. True where all of it
    /// was answered.
    Task<bool> update(Document& document, std::set<Part> asked);

 private:
    Task<Result<std::string>> dmsg_url_of(std::string url);
    Task<Result<std::vector<Server>>> servers();
    bool counted(bool answered);

    net::Context context_;
    http::Client& client_;
    dmsg::DiscoveryClient* discovery_;
    Counter& answered_;
    Counter& failed_;
    /// What was found here: it may change.
    std::set<Part> found_;
};

}  // namespace skywire::config_bootstrapper
