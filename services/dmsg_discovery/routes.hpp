#pragma once

#include "base/metrics.hpp"
#include "http/router.hpp"
#include "services/dmsg_discovery/discovery.hpp"

#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::discovery {

/// A counter per outcome; the outcomes are known beforehand, so that each series begins at 0.
class Outcomes {
 public:
    Outcomes(
        Metrics& metrics,
        std::string_view name,
        std::string_view help,
        std::initializer_list<std::string_view> outcomes
    );
    /// Also all outcomes that an error can have.
    void with_errors(Metrics& metrics, std::string_view name, std::string_view help);

    void add(std::string_view outcome);
    /// The error's reason.
    void add(const Error& error);

 private:
    std::map<std::string_view, Counter*> counters_;
};

/// The HTTP side of a Discovery: spec/dmsg.md section 12. Used on one event loop.
///
/// Counts dmsg_discovery_posts_total, _deletes_total, _lookups_total and _deregistrations_total by
/// outcome, so that every refusal is counted by its reason.
class Routes {
 public:
    /// Told of each call of the store that failed because it does not answer.
    using OnStoreFailure = std::function<void(const Error&)>;

    /// `discovery` outlives the routes; `whitelist` holds the NM-PK texts that may deregister.
    Routes(
        Metrics& metrics,
        Discovery& discovery,
        std::vector<std::string> whitelist,
        OnStoreFailure on_store_failure
    );

    /// Hangs all routes but /health on a router. The routes outlive it.
    void add_to(http::Router& router);

 private:
    Task<http::Response> get_entry(http::Request& request);
    Task<http::Response> post_entry(http::Request& request);
    Task<http::Response> delete_entry(http::Request& request);
    Task<http::Response> clients(http::Request& request);
    Task<http::Response> visors(http::Request& request);
    Task<http::Response> available_servers(http::Request& request);
    Task<http::Response> all_servers(http::Request& request);
    Task<http::Response> entries_batch(http::Request& request);
    Task<http::Response> servers_clients(http::Request& request);
    Task<http::Response> clients_of_server(http::Request& request);
    Task<http::Response> deregister(http::Request& request);

    http::Response deregistered(std::string_view outcome, http::Response response);
    http::Response failed(const Error& error);

    Discovery& discovery_;
    std::vector<std::string> whitelist_;
    OnStoreFailure on_store_failure_;
    Outcomes posts_;
    Outcomes deletes_;
    Outcomes lookups_;
    Outcomes deregistrations_;
};

}  // namespace skywire::discovery
