#include "services/route_finder/service.hpp"

#include "net/event.hpp"
#include "net/timer.hpp"
#include "services/common/http_service.hpp"
#include "services/common/upstream_url.hpp"
#include "services/route_finder/config.hpp"
#include "services/route_finder/live_graph.hpp"
#include "services/route_finder/routes.hpp"
#include "services/route_finder/source.hpp"

namespace skywire::services {
namespace {

using route_finder::Config;
using route_finder::GraphSource;

constexpr std::string_view kDmsgScheme = "dmsg://";
/// To compress a usual answer (8 kB) costs more than to find it.
constexpr std::size_t kGzipFromBytes = 32 * 1024;

class RouteFinder final : public HttpWork {
 public:
    RouteFinder(
        const HttpParts& parts, Config config, std::shared_ptr<transport::TransportView> view
    )
        : parts_(parts),
          config_(std::move(config)),
          view_(std::move(view)),
          graph_(parts.context, config_.common.entry_timeout),
          routes_(parts.context, graph_, [this] { return renew(); }),
          refreshed_(parts.context.loop) {
        routes_.add_to(parts.surface.router());
    }

    /// Without a list it starts all the same, and its health says so.
    Task<Result<>> open() override {
        source_ = make_source();
        if (!source_) {
            log::error(parts_.context.logger, "graph.no_source");
            co_return Result<>();
        }
        log::info(parts_.context.logger, "graph.source", log::kv("place", source_->place()));
        // Sessions with dmsg-servers come later.
        if (!over_dmsg_) co_await refresh();
        if (source_->polled()) parts_.scope.spawn("graph", [this] { return keep_current(); });
        co_return Result<>();
    }

    Task<std::vector<std::string>> stop(SteadyTime) override {
        if (source_) source_->close();
        co_return std::vector<std::string>();
    }

    void add_checks(framework::HealthReport& report) override {
        if (const std::string trouble = source_ ? source_->trouble() : ""; !trouble.empty()) {
            const std::string detail = source_->place() + ": " + trouble;
            report.checks.push_back({"graph", framework::Check::Status::warn, detail});
            return;
        }
        report.checks.push_back(graph_.check(
            source_ ? source_->place() : "neither redis nor transport_discovery is set"
        ));
    }

 private:
    std::unique_ptr<GraphSource> make_source() {
        const net::Context& context = parts_.context;
        if (view_ && view_->published(""))
            return route_finder::make_view_source(context, graph_, *view_);
        if (parts_.store != nullptr) {
            return route_finder::make_store_source(
                context, graph_, parts_.store->store(), parts_.store->place()
            );
        }
        const std::string& url = config_.transport_discovery;
        if (url.empty()) return nullptr;
        auto parsed = services::parse_upstream_url(url);
        if (!parsed) return nullptr;
        over_dmsg_ = url.starts_with(kDmsgScheme);
        net::Network& network =
            parts_.presence != nullptr ? parts_.presence->network() : context.network;
        return route_finder::make_url_source(
            with_network(context, network), graph_, url, std::move(*parsed)
        );
    }

    Task<> keep_current() {
        while (true) {
            const bool slept = co_await net::sleep_for(parts_.context.clock, config_.refresh);
            if (!slept) co_return;
            co_await renew();
        }
    }

    /// Ends after a refresh that began later than this call; any number of callers share it.
    Task<> renew() {
        if (!source_ || !source_->polled()) co_return;
        const std::uint64_t wanted = begun_ + 1;
        while (ended_ < wanted) {
            if (begun_ == ended_) {
                co_await refresh();
            } else {
                const bool notified = co_await refreshed_.wait();
                if (!notified) co_return;
            }
        }
    }

    Task<> refresh() {
        /// However it ends: the next one must be able to begin.
        struct Ending {
            explicit Ending(RouteFinder& finder) : finder_(finder) { ++finder_.begun_; }
            ~Ending() {
                finder_.ended_ = finder_.begun_;
                finder_.refreshed_.notify();
            }
            Ending(const Ending&) = delete;
            Ending& operator=(const Ending&) = delete;
            RouteFinder& finder_;
        };
        const Ending ending(*this);
        co_await source_->refresh();
    }

    HttpParts parts_;
    Config config_;
    std::shared_ptr<transport::TransportView> view_;
    route_finder::LiveGraph graph_;
    route_finder::Routes routes_;
    net::Event refreshed_;
    /// Refreshes so far.
    std::uint64_t begun_ = 0;
    std::uint64_t ended_ = 0;
    bool over_dmsg_ = false;
    /// Uses the graph.
    std::unique_ptr<GraphSource> source_;
};

}  // namespace

framework::ServiceType route_finder_type(std::shared_ptr<transport::TransportView> view) {
    framework::ServiceType type = http_service_type("route-finder");
    type.summary = "finds routes between visors over the transports there are";
    type.fields = route_finder::config_fields();
    type.edges.push_back({.upstream_type = "transport-discovery", .milestone = "http"});
    type.check = route_finder::check_config;
    type.facts = [](const framework::Block& block) {
        // It reads what the transport-discovery writes.
        return common_facts(block, "transport-discovery");
    };
    type.make = [view = std::move(view)](const framework::Block& block
                ) -> Result<std::unique_ptr<framework::Service>> {
        Config config = route_finder::read_config(block);
        HttpServiceOptions options = http_service_options("route-finder", config);
        options.gzip_from_bytes = kGzipFromBytes;
        return make_http_service(
            std::move(options),
            [config = std::move(config),
             view](const HttpParts& parts) -> std::unique_ptr<HttpWork> {
                return std::make_unique<RouteFinder>(parts, config, view);
            }
        );
    };
    return type;
}

}  // namespace skywire::services
