#pragma once

#include "framework/service_type.hpp"
#include "transport/view.hpp"

#include <memory>

namespace skywire::services {

/// The type "transport-discovery": which transports there are. Milestones "http" and "dmsg". Its
/// list is published on `view` for others in the process, under the block's label; null: it is not.
framework::ServiceType transport_discovery_type(std::shared_ptr<transport::TransportView> view);

}  // namespace skywire::services
