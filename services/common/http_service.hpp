#pragma once

#include "dmsg/discovery_client.hpp"
#include "framework/service.hpp"
#include "framework/service_type.hpp"
#include "services/common/common_fields.hpp"
#include "services/common/dmsg_presence.hpp"
#include "services/common/http_surface.hpp"
#include "services/common/service_store.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

/// What the services with the common keys do alike: open the store, serve HTTP on `addr` and on
/// their dmsg port, keep their sessions, and go down in order. A service adds its `HttpWork`.
namespace skywire::services {

/// What the common part hands to a service; everything outlives its HttpWork.
struct HttpParts {
    framework::ServiceHost& host;
    /// The service's own loop, clock, logger and metrics.
    const net::Context& context;
    /// Null where the service keeps nothing.
    ServiceStore* store;
    HttpSurface& surface;
    /// Null without a key.
    DmsgPresence* presence;
    /// For coroutines that run until the stop. One that ends with an exception ends the service.
    net::Scope& scope;
};

/// What is a service's own: its routes, its coroutines, its checks. Made after the store is open
/// and before anything listens; hangs its routes on `parts.surface.router()`. Used on the service's
/// loop; dies after every request and coroutine has ended.
class HttpWork {
 public:
    virtual ~HttpWork() = default;

    /// Before the first request: reads what it keeps, binds what else it listens on, spawns its
    /// coroutines.
    virtual Task<Result<>> open() { co_return Result<>(); }

    /// First of all when the service goes down.
    virtual Task<> drain(SteadyTime /*deadline*/) { co_return; }

    /// After HTTP and before dmsg has stopped; the names of what had not ended at `deadline`.
    virtual Task<std::vector<std::string>> stop(SteadyTime /*deadline*/) {
        co_return std::vector<std::string>();
    }

    /// Adds to the checks "http", "store" and "dmsg".
    virtual void add_checks(framework::HealthReport& /*report*/) {}

    virtual void upstream_changed(std::string_view /*label*/, framework::UpstreamEvent /*event*/) {}

    /// Whether there is a server to have a session with: a start waits for the first one.
    virtual Task<bool> expects_session() { co_return true; }
};

using MakeDiscovery =
    std::function<std::unique_ptr<dmsg::DiscoveryClient>(const net::Context&, ServiceStore&)>;

struct HttpServiceOptions {
    /// The type's name, for /health.
    std::string type_name;
    CommonConfig common;
    /// Nothing: the service keeps nothing.
    std::optional<StoreConfig> store;
    /// Nothing: no identity, no dmsg.
    std::optional<DmsgConfig> dmsg;
    /// The way of the service's own dmsg client to the discovery; empty: as `dmsg` says. Called
    /// with the open store, which outlives what it makes.
    MakeDiscovery discovery;
    /// Bodies from this size on are compressed for who asks; 0 = never.
    std::size_t gzip_from_bytes = 1400;
};

/// The milestones of such a service, in this order: "http" once it serves at `addr` (with mode
/// dmsg: once its routes are there), "dmsg" with its first session. A start waits for the first
/// session, where its work expects one, for at most 5 s.
std::vector<std::string> http_milestones();

/// The edges that every such service has: "dmsg" waits for the deployment's dmsg-server to
/// register.
std::vector<framework::TypeEdge> http_edges();

/// What such a type has by itself: its name, milestones, edges, and the facts and externals of the
/// common keys.
framework::ServiceType http_service_type(std::string_view name);

/// Those of a decoded block, whose store and dmsg side may be missing.
template <class Config>
HttpServiceOptions http_service_options(std::string_view type_name, const Config& config) {
    HttpServiceOptions options;
    options.type_name = type_name;
    options.common = config.common;
    if constexpr (requires { config.store; }) options.store = config.store;
    options.dmsg = config.dmsg;
    return options;
}

using MakeHttpWork = std::function<std::unique_ptr<HttpWork>(const HttpParts& parts)>;

std::unique_ptr<framework::Service> make_http_service(
    HttpServiceOptions options, MakeHttpWork make
);

}  // namespace skywire::services
