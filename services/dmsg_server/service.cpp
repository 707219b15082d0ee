#include "services/dmsg_server/service.hpp"

#include "base/json.hpp"
#include "dmsg/server.hpp"
#include "http/client.hpp"
#include "net/deadline.hpp"
#include "net/event.hpp"
#include "services/common/http_surface.hpp"
#include "services/dmsg_server/config.hpp"

#include <memory>

namespace skywire::services {
namespace {

constexpr std::string_view kName = "dmsg-server";
constexpr std::string_view kRegistered = "registered";
/// A start waits this long for the discovery; it serves without, too, and goes on trying.
constexpr std::chrono::seconds kFirstEntry{5};

using Check = framework::Check;

HttpSurface::Options surface_options(const dmsg_server::Config& config) {
    HttpSurface::Options options;
    options.service_name = kName;
    options.address = config.health_address;
    options.address_key = "health_endpoint_address";
    options.metrics_address = config.metrics_address;
    return options;
}

/// spec/dmsg.md section 19, spec/framework.md section 7.
std::string health_text(
    const dmsg_server::Config& config, WallTime started_at, const dmsg::Server::Status& status
) {
    std::string out = health_body(kName, started_at);
    out.pop_back();
    out += fmt::format(R"(,"public_key":"{}","dmsg_discovery":)", config.options.keys.public_key);
    append_json_string(out, config.discovery, JsonEscape::html);
    std::string_view separator = R"(,"peer_servers":[)";
    for (const dmsg::ServerPeer& peer : config.options.peers) {
        out += fmt::format("{}\"{}\"", separator, peer.key);
        separator = ",";
    }
    if (!config.options.peers.empty()) out += ']';
    out += fmt::format(
        R"(,"dmsg_server":{{"client_sessions":{},"peer_sessions":{},"active_streams":{},)"
        R"("streams_relayed":{},"bytes_up":{},"bytes_down":{}}}}})",
        status.client_sessions,
        status.peer_sessions,
        status.active_streams,
        status.streams_relayed,
        status.bytes_up,
        status.bytes_down
    );
    return out;
}

/// The parts of a running server, from the lowest up.
struct Running {
    Running(framework::ServiceHost& host, const dmsg_server::Config& config_in)
        : context(host.context()),
          config(config_in),
          started_at(context.clock.wall()),
          http(context),
          surface(host, surface_options(config)),
          registered(context.loop) {
        surface.router().use([this](http::Request& request, const http::Handler& next) {
            return health_or(request, next);
        });
    }

    /// The surface's own /health knows nothing of sessions.
    Task<http::Response> health_or(http::Request& request, const http::Handler& next) {
        http::Response response = co_await next(request);
        if (request.path == "/health" && response.status == 200)
            response = http::Response::json(200, health_text(config, started_at, server->status()));
        co_return response;
    }

    net::Context context;
    dmsg_server::Config config;
    WallTime started_at;
    http::Client http;
    std::unique_ptr<dmsg::Server> server;
    HttpSurface surface;
    net::Event registered;
};

class DmsgServer final : public framework::Service {
 public:
    explicit DmsgServer(dmsg_server::Config config) : config_(std::move(config)) {}

    Task<Result<>> start(framework::ServiceHost& host) override {
        const net::Context& context = host.context();
        config_.options.loops = host.loops();
        auto listener = listen(host, "local_address", config_.local_address);
        if (!listener) co_return listener.error();
        std::unique_ptr<net::Listener> websocket;
        if (config_.ws_address) {
            auto bound = listen(host, "ws_address", *config_.ws_address);
            if (!bound) co_return bound.error();
            websocket = std::move(*bound);
        }
        if (config_.options.address.empty())
            config_.options.address = (*listener)->local().to_string();

        running_ = std::make_unique<Running>(host, config_);
        Running& running = *running_;
        auto discovery = dmsg::make_http_discovery(context, running.http, config_.discovery);
        if (!discovery) co_return discovery.error().within("discovery");
        running.server =
            std::make_unique<dmsg::Server>(context, running.config.options, std::move(*discovery));
        if (const auto bound = running.surface.listen(); !bound) co_return bound.error();
        running.server->start([&running, &host] {
            host.reached(kRegistered);
            running.registered.notify();
        });
        running.server->serve(std::move(*listener));
        if (websocket) running.server->serve(std::move(websocket), /*websocket_only=*/true);
        co_await first_entry(running);
        co_return Result<>();
    }

    Task<> drain(SteadyTime deadline) override {
        if (!running_ || !running_->server) co_return;
        co_await running_->server->drain(deadline);
        co_await running_->surface.drain(deadline);
    }

    Task<std::vector<std::string>> stop(SteadyTime deadline) override {
        std::vector<std::string> late;
        if (!running_) co_return late;
        if (running_->server) late = co_await running_->server->stop(deadline);
        for (std::string& name : co_await running_->surface.stop(deadline))
            late.push_back(std::move(name));
        running_->http.close();
        co_return late;
    }

    framework::HealthReport health() override {
        framework::HealthReport report;
        if (!running_ || !running_->server) return report;
        report.checks.push_back(running_->surface.check());
        const auto status = running_->server->status();
        Check check{"discovery", Check::Status::pass, {}};
        if (!status.registered || !status.trouble.empty()) {
            // Those who are here are served all the same.
            check.status = Check::Status::warn;
            check.detail = status.trouble.empty() ? "the entry is not posted yet" : status.trouble;
        }
        report.checks.push_back(std::move(check));
        return report;
    }

 private:
    static Result<std::unique_ptr<net::Listener>> listen(
        framework::ServiceHost& host, std::string_view key, const net::Address& address
    ) {
        const net::Context& context = host.context();
        auto listener = context.network.listen(context.loop, address);
        if (!listener) return listener.error().within(key);
        const std::string bound = (*listener)->local().to_string();
        log::info(context.logger, "dmsg.listening", log::kv("key", key), log::kv("address", bound));
        host.note("bound", fmt::format("{} {}", key, bound));
        return listener;
    }

    static Task<> first_entry(Running& running) {
        const auto waiting = [](Running& of) -> Task<Result<>> {
            while (!of.server->status().registered)
                if (!co_await of.registered.wait()) break;
            co_return Result<>();
        };
        Clock& clock = running.context.clock;
        const auto waited =
            co_await net::with_deadline(clock, clock.now() + kFirstEntry, waiting(running));
        if (!waited) {
            log::warn(
                running.context.logger,
                "dmsg.unregistered",
                log::kv("reason", running.server->status().trouble)
            );
        }
    }

    dmsg_server::Config config_;
    std::unique_ptr<Running> running_;
};

}  // namespace

framework::ServiceType dmsg_server_type() {
    framework::ServiceType type;
    type.name = kName;
    type.summary = "takes sessions of dmsg clients and bridges streams between them";
    type.fields = dmsg_server::config_fields();
    type.milestones = {std::string(kRegistered)};
    type.edges = {
        {.gate = "start", .upstream_type = "dmsg-discovery", .milestone = "http"},
    };
    type.check = dmsg_server::check_config;
    type.facts = dmsg_server::config_facts;
    type.make = [](const framework::Block& block) -> Result<std::unique_ptr<framework::Service>> {
        return std::make_unique<DmsgServer>(dmsg_server::read_config(block));
    };
    return type;
}

}  // namespace skywire::services
