#include "services/transport_setup/service.hpp"

#include "base/assert.hpp"
#include "http/server.hpp"
#include "services/common/http_service.hpp"
#include "services/transport_setup/config.hpp"
#include "services/transport_setup/routes.hpp"

namespace skywire::services {
namespace {

using transport_setup::Config;
using transport_setup::Routes;

constexpr std::string_view kName = "transport-setup";
/// The dmsg port of visors' requests to transport-setup: spec/visor.md section 1.1.
constexpr std::uint16_t kDmsgPort = 48;

Routes::Options route_options(const Config& config) {
    Routes::Options options;
    options.whitelist = config.whitelist;
    return options;
}

http::Server::Options server_options() {
    http::Server::Options options;
    options.name = "dmsg48";
    options.limits.connections_max = 256;
    return options;
}

class TransportSetup final : public HttpWork {
 public:
    TransportSetup(const HttpParts& parts, Config config)
        : parts_(parts),
          config_(std::move(config)),
          routes_(
              parts.context,
              [client = &parts.presence->client()](dmsg::Address to) { return client->dial(to); },
              route_options(config_)
          ),
          server_(parts.context, parts.surface.router(), server_options()) {
        routes_.add_to(parts.surface.router());
    }

    Task<Result<>> open() override {
        if (config_.every_interface) {
            log::warn(
                parts_.context.logger,
                "http.open_to_all",
                log::kv("address", config_.common.addr.to_string()),
                log::kv("advice", "requests are not authenticated: set addr to a private address")
            );
        }
        if (config_.dmsg.port != kDmsgPort) {
            auto listener = parts_.presence->client().listen(kDmsgPort);
            if (!listener) co_return listener.error();
            server_.serve(std::move(*listener));
        }
        co_return Result<>();
    }

    Task<> drain(SteadyTime deadline) override { return server_.drain(deadline); }

    Task<std::vector<std::string>> stop(SteadyTime deadline) override {
        return server_.stop(deadline);
    }

 private:
    HttpParts parts_;
    Config config_;
    Routes routes_;
    http::Server server_;
};

}  // namespace

framework::ServiceType transport_setup_type() {
    framework::ServiceType type = http_service_type(kName);
    type.summary = "makes and removes transports of visors on request";
    type.fields = transport_setup::config_fields();
    type.check = transport_setup::check_config;
    type.facts = transport_setup::config_facts;
    // It keeps nothing.
    type.externals = nullptr;
    type.make = [](const framework::Block& block) -> Result<std::unique_ptr<framework::Service>> {
        Config config = transport_setup::read_config(block);
        HttpServiceOptions options = http_service_options(kName, config);
        return make_http_service(
            std::move(options),
            [config = std::move(config)](const HttpParts& parts) -> std::unique_ptr<HttpWork> {
                SKY_ASSERT(parts.presence != nullptr);
                return std::make_unique<TransportSetup>(parts, config);
            }
        );
    };
    return type;
}

}  // namespace skywire::services
