#include "services/dmsg_discovery/service.hpp"

#include "net/deadline.hpp"
#include "net/scope.hpp"
#include "net/timer.hpp"
#include "services/common/dmsg_presence.hpp"
#include "services/common/http_surface.hpp"
#include "services/dmsg_discovery/config.hpp"
#include "services/dmsg_discovery/discovery.hpp"
#include "services/dmsg_discovery/own_discovery.hpp"
#include "services/dmsg_discovery/routes.hpp"

#include <memory>

namespace skywire::services {
namespace {

constexpr std::string_view kHttp = "http";
constexpr std::string_view kDmsg = "dmsg";
constexpr std::chrono::seconds kSweepInterval{10};
/// What a start gives the first session with a server that is there, before it goes on without.
constexpr std::chrono::seconds kFirstSession{5};
/// An entry of a client fits into one packet as it is; lists gain from compression.
constexpr std::size_t kGzipFromBytes = 1400;

discovery::Rules rules_of(const discovery::Config& config) {
    discovery::Rules rules;
    rules.testing = config.common.testing;
    rules.load_testing = config.load_testing;
    rules.client_lifetime = config.common.entry_timeout;
    rules.auth_passphrase = config.auth_passphrase;
    rules.official_servers = config.official_servers;
    return rules;
}

HttpSurface::Options surface_options(const discovery::Config& config) {
    HttpSurface::Options options;
    options.service_name = "dmsg-discovery";
    options.address = config.common.addr;
    options.metrics_address = config.common.metrics_addr;
    options.trusted_proxies = config.common.trusted_proxies;
    options.gzip_from_bytes = kGzipFromBytes;
    return options;
}

/// The parts of a running discovery, from the lowest up; the scope is last, since its coroutines
/// use all others.
struct Running {
    Running(framework::ServiceHost& host, const discovery::Config& config, ServiceStore& opened)
        : context(host.context()),
          store(opened),
          discovery(context, store.store(), rules_of(config)),
          routes(
              context.metrics,
              discovery,
              config.whitelist_keys,
              [this](const Error& error) { store_failed(error); }
          ),
          surface(host, surface_options(config)),
          presence(
              config.dmsg ? std::make_unique<DmsgPresence>(
                                host, *config.dmsg, discovery::make_own_discovery(discovery)
                            )
                          : nullptr
          ),
          servers(
              context.metrics.gauge("dmsg_discovery_servers_count", "dmsg-servers with an entry.")
          ),
          clients(
              context.metrics.gauge("dmsg_discovery_clients_count", "dmsg clients with an entry.")
          ),
          scope(context.loop, [&host](std::string_view name, std::exception_ptr) {
              host.exited(fail(errc::wrong_state, std::string(name) + " ended with an exception"));
          }) {
        routes.add_to(surface.router());
    }

    /// A store that is full answers all the same.
    void store_failed(const Error& error) {
        if (error != make_error_code(errc::limit_reached)) store.failed(error);
    }

    /// Sweeps the sets and counts what is left, every ten seconds.
    Task<> sweep() {
        while (true) {
            const auto counts = co_await discovery.sweep();
            if (counts) {
                servers.set(static_cast<double>(counts->servers));
                clients.set(static_cast<double>(counts->clients));
            } else {
                store_failed(counts.error());
            }
            const bool slept = co_await net::sleep_for(context.clock, kSweepInterval);
            if (!slept) co_return;
        }
    }

    /// Says when the first session is there, however late.
    Task<> announce_dmsg(framework::ServiceHost& host) {
        const auto ready = co_await presence->client().wait_ready();
        if (ready) host.reached(kDmsg);
    }

    net::Context context;
    ServiceStore& store;
    discovery::Discovery discovery;
    discovery::Routes routes;
    HttpSurface surface;
    /// Null without a key.
    std::unique_ptr<DmsgPresence> presence;
    Gauge& servers;
    Gauge& clients;
    net::Scope scope;
};

class DmsgDiscovery final : public framework::Service {
 public:
    explicit DmsgDiscovery(discovery::Config config) : config_(std::move(config)) {}

    Task<Result<>> start(framework::ServiceHost& host) override {
        const net::Context& context = host.context();
        if (config_.load_testing)
            log::warn(context.logger, "load_testing", log::kv("signatures", "not checked"));
        store_ = std::make_unique<ServiceStore>(host, config_.store);
        const auto opened = co_await store_->open();
        if (!opened) co_return opened.error();
        running_ = std::make_unique<Running>(host, config_, *store_);
        Running& running = *running_;
        if (const auto bound = running.surface.listen(); !bound) co_return bound.error();
        running.scope.spawn("sweep", [&running] { return running.sweep(); });
        running.scope.spawn("store watch", [&running] { return running.store.watch(); });
        host.reached(kHttp);
        if (running.presence) co_return co_await start_dmsg(host, running);
        co_return Result<>();
    }

    Task<> drain(SteadyTime deadline) override {
        if (running_) co_await running_->surface.drain(deadline);
    }

    Task<std::vector<std::string>> stop(SteadyTime deadline) override {
        std::vector<std::string> late;
        if (running_) {
            late = co_await running_->surface.stop(deadline);
            if (running_->presence) {
                for (std::string& name : co_await running_->presence->stop(deadline))
                    late.push_back("dmsg " + name);
            }
            Clock& clock = running_->context.clock;
            for (std::string& name : co_await running_->scope.close(clock, clock.now(), deadline))
                late.push_back(std::move(name));
        }
        if (!store_) co_return late;
        if (const auto closed = co_await store_->close(deadline); !closed)
            late.push_back("store " + store_->place() + ": " + closed.error().message());
        co_return late;
    }

    framework::HealthReport health() override {
        framework::HealthReport report;
        if (!running_) return report;
        report.checks.push_back(running_->surface.check());
        report.checks.push_back(store_->check());
        if (running_->presence) report.checks.push_back(running_->presence->check());
        return report;
    }

 private:
    /// The servers register over HTTP first: only then is there somebody to connect to. A
    /// deployment without a server of its own does not wait for one.
    Task<Result<>> start_dmsg(framework::ServiceHost& host, Running& running) {
        if (config_.common.mode != Mode::http) {
            if (const auto bound = running.surface.listen_dmsg(*running.presence); !bound)
                co_return bound.error();
        }
        const auto opened = co_await host.wait_for_upstreams_of(std::string(kDmsg));
        if (!opened) co_return opened.error();
        dmsg::Client& client = running.presence->client();
        running.presence->start();
        running.scope.spawn("dmsg", [&running, &host] { return running.announce_dmsg(host); });
        const auto servers = co_await running.discovery.all_servers();
        if (servers && !servers->empty()) {
            Clock& clock = running.context.clock;
            // Without a session the discovery serves HTTP all the same, and says so in its health.
            (void
            )co_await net::with_deadline(clock, clock.now() + kFirstSession, client.wait_ready());
        }
        co_return Result<>();
    }

    discovery::Config config_;
    std::unique_ptr<ServiceStore> store_;
    /// Uses the store.
    std::unique_ptr<Running> running_;
};

}  // namespace

framework::ServiceType dmsg_discovery_type() {
    framework::ServiceType type;
    type.name = "dmsg-discovery";
    type.summary = "where dmsg clients and servers say how they are reached";
    type.fields = discovery::config_fields();
    type.milestones = {std::string(kHttp), std::string(kDmsg)};
    type.edges = {
        {.gate = std::string(kDmsg), .upstream_type = "dmsg-server", .milestone = "registered"}
    };
    type.check = discovery::check_config;
    type.facts = [](const framework::Block& block) {
        return common_facts(block, "dmsg-discovery");
    };
    type.externals = store_externals;
    type.make = [](const framework::Block& block) -> Result<std::unique_ptr<framework::Service>> {
        return std::make_unique<DmsgDiscovery>(discovery::read_config(block));
    };
    return type;
}

}  // namespace skywire::services
