#pragma once

#include "framework/service_type.hpp"
#include "transport/view.hpp"

#include <memory>

namespace skywire::services {

/// The type "route-finder": routes between visors over the transports that a transport-discovery
/// knows. `view` is where one of the same process publishes them; null: there is none. Milestones:
/// "http" once it serves at `addr`, "dmsg" with its first session.
framework::ServiceType route_finder_type(std::shared_ptr<transport::TransportView> view);

}  // namespace skywire::services
