#include "services/service_discovery/service.hpp"

#include "services/common/http_service.hpp"
#include "services/service_discovery/work.hpp"

namespace skywire::services {

framework::ServiceType service_discovery_type() {
    framework::ServiceType type;
    type.name = "service-discovery";
    type.summary = "lists the services that visors offer: vpn, proxy, public visors";
    type.fields = service_discovery::config_fields();
    type.milestones = http_milestones();
    type.edges = http_edges();
    type.check = service_discovery::check_config;
    type.facts = [](const framework::Block& block) {
        return common_facts(block, "service-discovery");
    };
    type.externals = store_externals;
    type.make = [](const framework::Block& block) -> Result<std::unique_ptr<framework::Service>> {
        service_discovery::Config config = service_discovery::read_config(block);
        HttpServiceOptions options;
        options.type_name = "service-discovery";
        options.common = config.common;
        options.store = config.store;
        options.dmsg = config.dmsg;
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
