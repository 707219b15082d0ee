#include "services/service_discovery/service.hpp"

#include "services/common/http_service.hpp"
#include "services/service_discovery/work.hpp"

namespace skywire::services {

framework::ServiceType service_discovery_type() {
    framework::ServiceType type = http_service_type("service-discovery");
    type.summary = "lists the services that visors offer: vpn, proxy, public visors";
    type.fields = service_discovery::config_fields();
    type.check = service_discovery::check_config;
    type.make = [](const framework::Block& block) -> Result<std::unique_ptr<framework::Service>> {
        service_discovery::Config config = service_discovery::read_config(block);
        HttpServiceOptions options = http_service_options("service-discovery", config);
        return make_http_service(
            std::move(options),
            [config = std::move(config)](const HttpParts& parts) -> std::unique_ptr<HttpWork> {
                return std::make_unique<service_discovery::Work>(parts, config);
            }
        );
    };
    return type;
}

}  // namespace skywire::services
