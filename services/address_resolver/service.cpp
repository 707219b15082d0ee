#include "services/address_resolver/service.hpp"

#include "services/address_resolver/config.hpp"
#include "services/address_resolver/work.hpp"
#include "services/common/http_service.hpp"

#include <memory>
#include <utility>

namespace skywire::services {

framework::ServiceType address_resolver_type() {
    framework::ServiceType type;
    type.name = "address-resolver";
    type.summary = "where visors say how they can be dialled (HTTP, and UDP for those behind NAT)";
    type.fields = resolver::config_fields();
    type.milestones = http_milestones();
    type.edges = http_edges();
    type.check = resolver::check_config;
    type.facts = resolver::config_facts;
    type.externals = store_externals;
    type.make = [](const framework::Block& block) -> Result<std::unique_ptr<framework::Service>> {
        resolver::Config config = resolver::read_config(block);
        HttpServiceOptions options;
        options.type_name = "address-resolver";
        options.common = config.common;
        options.store = config.store;
        options.dmsg = config.dmsg;
        return make_http_service(
            std::move(options),
            [config = std::move(config)](const HttpParts& parts) {
                return std::make_unique<resolver::Work>(parts, config);
            }
        );
    };
    return type;
}

}  // namespace skywire::services
