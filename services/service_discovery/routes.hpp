#pragma once

#include "http/router.hpp"
#include "net/context.hpp"
#include "services/common/request_auth.hpp"
#include "services/service_discovery/directory.hpp"
#include "services/service_discovery/geo.hpp"

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace skywire::service_discovery {

/// What a request gets while the store does not take or give what it is about.
http::Response store_refused(const Error& error);

/// The HTTP side of a Directory: spec/services-http.md sections 5.2 and 5.3. Used on one event
/// loop.
///
/// Counts service_discovery_registrations_total, _deletions_total and _deregistrations_total by
/// outcome, so that every refusal is counted by its reason.
class Routes {
 public:
    /// Told of each entry that was stored, before its answer.
    using OnRegistered = std::function<Task<>(crypto::PublicKey, std::string version)>;

    struct Options {
        /// Bodies from this size on are compressed for who asks; 0 = never.
        std::size_t gzip_from_bytes = 1400;
    };

    /// All of them outlive the routes.
    Routes(
        const net::Context& context,
        Directory& directory,
        services::RequestAuth& auth,
        Locator& locator,
        OnRegistered on_registered,
        Options options
    );
    ~Routes();
    Routes(const Routes&) = delete;
    Routes& operator=(const Routes&) = delete;

    /// Hangs all routes but /health, /security/nonces and /uptimes on a router, and CORS around
    /// everything. The routes outlive it.
    void add_to(http::Router& router);

 private:
    using Counters = std::map<std::string_view, Counter*>;

    Task<http::Response> list(http::Request& request);
    Task<http::Response> one(http::Request& request);
    Task<http::Response> register_entry(http::Request& request, crypto::PublicKey caller);
    Task<http::Response> delete_entry(http::Request& request, crypto::PublicKey caller);
    Task<http::Response> deregister(http::Request& request);

    Task<http::Response> whole_list(http::Request& request, std::string type);
    http::Response refuse_registration(
        std::string_view outcome, unsigned status, std::string_view text
    );
    std::string_view outcome_of(const Error& error) const;

    net::Context context_;
    Directory& directory_;
    services::RequestAuth& auth_;
    Locator& locator_;
    OnRegistered on_registered_;
    Options options_;
    Counters registrations_;
    Counters deletions_;
    Counters deregistrations_;
};

}  // namespace skywire::service_discovery
