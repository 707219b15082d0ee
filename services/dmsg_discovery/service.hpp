#pragma once

#include "framework/service_type.hpp"

namespace skywire::services {

/// The type "dmsg-discovery": where dmsg clients and servers say how they are reached. Milestones
/// "http": its HTTP side answers; "dmsg": it is reached over dmsg, too.
framework::ServiceType dmsg_discovery_type();

}  // namespace skywire::services
