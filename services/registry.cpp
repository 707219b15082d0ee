#include "services/registry.hpp"

#include "services/address_resolver/service.hpp"
#include "services/config_bootstrapper/service.hpp"
#include "services/dmsg_discovery/service.hpp"
#include "services/dmsg_server/service.hpp"
#include "services/network_visualizer/service.hpp"
#include "services/noop/service.hpp"
#include "services/route_finder/service.hpp"
#include "services/service_discovery/service.hpp"
#include "services/setup_node/service.hpp"
#include "services/stun_server/service.hpp"
#include "services/transport_discovery/service.hpp"
#include "services/transport_setup/service.hpp"

namespace skywire::services {

framework::ServiceRegistry all_service_types() {
    framework::ServiceRegistry registry;
    // Where a transport-discovery and a route-finder of one process meet.
    const auto transports = std::make_shared<transport::TransportView>();
    registry.add(config_bootstrapper_type());
    registry.add(address_resolver_type());
    registry.add(dmsg_discovery_type());
    registry.add(dmsg_server_type());
    registry.add(network_visualizer_type(transports));
    registry.add(noop_type());
    registry.add(route_finder_type(transports));
    registry.add(service_discovery_type());
    registry.add(setup_node_type(transports));
    registry.add(stun_server_type());
    registry.add(transport_discovery_type(transports));
    registry.add(transport_setup_type());
    return registry;
}

}  // namespace skywire::services
