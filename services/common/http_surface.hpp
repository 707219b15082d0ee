#pragma once

#include "framework/service.hpp"
#include "http/real_ip.hpp"
#include "http/router.hpp"
#include "http/server.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::services {

/// The plain-HTTP side that all HTTP services share: the listener at `addr` with GET /health, the
/// one at `metrics_addr` with GET /metrics, callers' real addresses, access lines and series, and
/// the way down. spec/services-http.md sections 1.1, 1.5 and 1.6. Used on the service's loop.
class HttpSurface {
 public:
    struct Options {
        /// `service_name` of /health: the type's name.
        std::string service_name;
        net::Address address;
        std::optional<net::Address> metrics_address;
        http::TrustedProxies trusted_proxies;
        /// Bodies from this size on are compressed for who asks; 0 = never.
        std::size_t gzip_from_bytes = 0;
    };

    /// `host` outlives the surface. Binds nothing.
    HttpSurface(framework::ServiceHost& host, Options options);
    ~HttpSurface();
    HttpSurface(const HttpSurface&) = delete;
    HttpSurface& operator=(const HttpSurface&) = delete;

    /// Where the service hangs its routes, before `listen`.
    http::Router& router() noexcept { return router_; }

    /// Binds both listeners and serves. The message of a failure names the key and the address.
    Result<> listen();

    /// The bound address; what was asked for before `listen`.
    net::Address address() const;
    /// The bound address of the metrics listener, if there is one.
    std::optional<net::Address> metrics_address() const;

    /// No new connections; requests under way end, until `deadline`.
    Task<> drain(SteadyTime deadline);

    /// Ends everything; the names of what had not ended at `deadline`.
    Task<std::vector<std::string>> stop(SteadyTime deadline);

    /// Check "http": pass while the listener serves.
    framework::Check check() const;

 private:
    Task<http::Response> around(http::Request& request, const http::Handler& next);
    Task<http::Response> health(http::Request& request);
    Task<http::Response> metrics(http::Request& request);
    Result<> serve(http::Server& server, std::string_view key, const net::Address& address);

    framework::ServiceHost& host_;
    net::Context context_;
    Options options_;
    std::shared_ptr<const std::string> health_body_;
    Gauge& ongoing_;
    bool serving_ = false;
    http::Router router_;
    http::Router metrics_router_;
    http::Server server_;
    http::Server metrics_server_;
};

/// The body of GET /health: members in the listed order, HTML characters escaped, no newline.
std::string health_body(std::string_view service_name, WallTime started_at);

}  // namespace skywire::services
