#include "services/setup_node/service.hpp"

#include "net/deadline.hpp"
#include "router/setup_calls.hpp"
#include "services/common/http_surface.hpp"
#include "services/setup_node/config.hpp"
#include "services/setup_node/listing.hpp"
#include "services/setup_node/setup_node.hpp"

namespace skywire::services {
namespace {

using Check = framework::Check;
using setup_node::Listing;

constexpr std::string_view kName = "setup-node";
constexpr std::string_view kDmsg = "dmsg";
/// What a start gives the first session with a server, before it goes on without.
constexpr std::chrono::seconds kFirstSession{5};

HttpSurface::Options surface_options(const setup_node::Config& config) {
    HttpSurface::Options options;
    options.service_name = kName;
    options.metrics_address = config.metrics_addr;
    return options;
}

/// The parts of a running setup-node, from the lowest up.
struct Running {
    Running(
        framework::ServiceHost& host,
        const setup_node::Config& config,
        const std::shared_ptr<transport::TransportView>& view
    )
        : context(host.context()),
          surface(host, surface_options(config)),
          presence(host, config.dmsg),
          http(with_network(context, presence.network())),
          listing(make_listing(config, view)),
          node(
              context,
              [this](dmsg::Address to) { return presence.client().dial(to); },
              listing.get(),
              config.options
          ),
          scope(context.loop, [&host](std::string_view name, const std::exception_ptr&) {
              host.exited(fail(errc::wrong_state, std::string(name) + " ended with an exception"));
          }) {
        surface.router().on(http::Method::get, "/stats", [this](http::Request&) {
            return stats();
        });
    }

    std::unique_ptr<Listing> make_listing(
        const setup_node::Config& config, const std::shared_ptr<transport::TransportView>& view
    ) {
        if (view && view->published("")) return setup_node::make_view_listing(context, view);
        if (config.transport_discovery.empty()) return nullptr;
        auto made = setup_node::make_http_listing(
            with_network(context, presence.network()),
            http,
            config.transport_discovery,
            config.dmsg.keys
        );
        // check_config has read the URL.
        return made ? std::move(*made) : nullptr;
    }

    Task<http::Response> stats() { co_return http::Response::json(200, node.stats_json()); }

    /// Says when the first session is there, however late.
    Task<> announce_dmsg(framework::ServiceHost& host) {
        const auto ready = co_await presence.client().wait_ready();
        if (ready) host.reached(kDmsg);
    }

    /// There is no other way to it.
    Check check_dmsg() const {
        Check check = presence.check();
        if (check.status != Check::Status::pass) check.status = Check::Status::fail;
        return check;
    }

    Check check_listing() const {
        if (!listing) {
            return {
                "transport-discovery",
                Check::Status::warn,
                "transport_discovery is not set: visors are handed rules for transports they may "
                "not have"
            };
        }
        const std::string trouble = listing->trouble();
        if (trouble.empty()) return {"transport-discovery", Check::Status::pass, {}};
        return {"transport-discovery", Check::Status::warn, trouble};
    }

    net::Context context;
    HttpSurface surface;
    DmsgPresence presence;
    http::Client http;
    std::unique_ptr<Listing> listing;
    setup_node::SetupNode node;
    net::Scope scope;
};

class SetupNodeService final : public framework::Service {
 public:
    SetupNodeService(setup_node::Config config, std::shared_ptr<transport::TransportView> view)
        : config_(std::move(config)), view_(std::move(view)) {}

    Task<Result<>> start(framework::ServiceHost& host) override {
        running_ = std::make_unique<Running>(host, config_, view_);
        Running& running = *running_;
        if (const auto bound = running.surface.listen_metrics(); !bound) co_return bound.error();
        if (const auto bound = running.surface.listen_dmsg(running.presence); !bound)
            co_return bound.error();
        auto listener = running.presence.client().listen(router::kSetupNodePort);
        if (!listener) co_return listener.error();
        running.node.serve(std::move(*listener));
        running.presence.start();
        running.scope.spawn("dmsg", [&running, &host] { return running.announce_dmsg(host); });
        Clock& clock = running.context.clock;
        (void)co_await net::with_deadline(
            clock, clock.now() + kFirstSession, running.presence.client().wait_ready()
        );
        co_return Result<>();
    }

    Task<> drain(SteadyTime deadline) override {
        if (!running_) co_return;
        co_await running_->node.drain(deadline);
        co_await running_->surface.drain(deadline);
    }

    Task<std::vector<std::string>> stop(SteadyTime deadline) override {
        std::vector<std::string> late;
        if (!running_) co_return late;
        const auto append = [&late](std::vector<std::string> more) {
            for (std::string& name : more)
                late.push_back(std::move(name));
        };
        Clock& clock = running_->context.clock;
        append(co_await running_->node.stop(deadline));
        append(co_await running_->surface.stop(deadline));
        append(co_await running_->scope.close(clock, clock.now(), deadline));
        running_->http.close();
        append(co_await running_->presence.stop(deadline));
        co_return late;
    }

    framework::HealthReport health() override {
        framework::HealthReport report;
        if (!running_) return report;
        report.checks.push_back(running_->check_dmsg());
        report.checks.push_back(running_->check_listing());
        return report;
    }

 private:
    setup_node::Config config_;
    std::shared_ptr<transport::TransportView> view_;
    std::unique_ptr<Running> running_;
};

}  // namespace

framework::ServiceType setup_node_type(std::shared_ptr<transport::TransportView> view) {
    framework::ServiceType type;
    type.name = kName;
    type.summary = "sets up routes between visors";
    type.fields = setup_node::config_fields();
    type.milestones = {std::string(kDmsg)};
    type.edges = {
        {.upstream_type = "dmsg-server", .milestone = "registered"},
        {.upstream_type = "transport-discovery", .milestone = "http"},
    };
    type.check = setup_node::check_config;
    type.facts = setup_node::config_facts;
    type.make = [view = std::move(view)](const framework::Block& block
                ) -> Result<std::unique_ptr<framework::Service>> {
        return std::make_unique<SetupNodeService>(setup_node::read_config(block), view);
    };
    return type;
}

}  // namespace skywire::services
