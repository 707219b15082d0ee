#include "services/address_resolver/service.hpp"

#include "services/address_resolver/config.hpp"
#include "services/address_resolver/work.hpp"
#include "services/common/http_service.hpp"

#include <memory>
#include <utility>

namespace skywire::services {

framework::ServiceType address_resolver_type() {
    framework::ServiceType type = http_service_type("address-resolver");
    type.summary = "where visors say how they can be dialled (HTTP, and UDP for those behind NAT)";
    type.fields = resolver::config_fields();
    type.check = resolver::check_config;
    type.facts = resolver::config_facts;
    type.make = [](const framework::Block& block) -> Result<std::unique_ptr<framework::Service>> {
        resolver::Config config = resolver::read_config(block);
        HttpServiceOptions options = http_service_options("address-resolver", config);
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
