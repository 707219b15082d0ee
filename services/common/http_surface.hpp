#pragma once

#include "base/clock.hpp"
#include "crypto/keys.hpp"
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

class DmsgPresence;

/// The HTTP side that all HTTP services share: one route table with GET /health, served at `addr`
/// and on the service's dmsg port; the listener at `metrics_addr` with GET /metrics; callers' real
/// addresses, access lines and series, and the way down. spec/services-http.md sections 1.1, 1.5,
/// 1.6 and 11. Used on the service's loop.
class HttpSurface {
 public:
    struct Options {
        /// `service_name` of /health: the type's name.
        std::string service_name;
        net::Address address;
        /// The block's key that says so.
        std::string_view address_key = "addr";
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

    /// Binds the listeners of `addr` and `metrics_addr` and serves. The message of a failure names
    /// the key and the address.
    Result<> listen();

    /// Binds the one of `metrics_addr` alone: mode dmsg.
    Result<> listen_metrics();

    /// Serves the same routes on the presence's dmsg port; /health names its address and servers
    /// from now on. `presence` lives until `stop` has returned.
    Result<> listen_dmsg(DmsgPresence& presence);

    /// What /health tells as `udp_address`, for services with a UDP side.
    void set_udp_address(std::string address);

    /// The bound address; what was asked for before `listen`.
    net::Address address() const;
    /// The bound address of the metrics listener, if there is one.
    std::optional<net::Address> metrics_address() const;

    /// No new connections; requests under way end, until `deadline`.
    Task<> drain(SteadyTime deadline);

    /// Ends everything; the names of what had not ended at `deadline`.
    Task<std::vector<std::string>> stop(SteadyTime deadline);

    /// Check "http": pass while the listener serves. Not for mode dmsg.
    framework::Check check() const;

 private:
    Task<http::Response> around(http::Request& request, const http::Handler& next);
    Task<http::Response> health(http::Request& request);
    Task<http::Response> metrics(http::Request& request);
    void tell_health();
    Result<> serve(http::Server& server, std::string_view key, const net::Address& address);

    framework::ServiceHost& host_;
    net::Context context_;
    Options options_;
    WallTime started_at_;
    /// Null before `listen_dmsg`.
    DmsgPresence* presence_ = nullptr;
    std::string udp_address_;
    std::shared_ptr<const std::string> health_body_;
    Gauge& ongoing_;
    bool serving_ = false;
    http::Router router_;
    http::Router metrics_router_;
    http::Server server_;
    http::Server dmsg_server_;
    http::Server metrics_server_;
};

/// What GET /health says of a service's dmsg side; nothing where `address` is empty.
struct DmsgHealth {
    /// "KEY:PORT"
    std::string address;
    /// Those it has a session with; left out while there are none.
    std::vector<crypto::PublicKey> servers;
};

/// The body of GET /health: members in the listed order, HTML characters escaped, no newline.
std::string health_body(
    std::string_view service_name,
    WallTime started_at,
    const DmsgHealth& dmsg = {},
    std::string_view udp_address = {}
);

}  // namespace skywire::services
