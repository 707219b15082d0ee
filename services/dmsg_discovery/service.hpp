#pragma once

#include "framework/service_type.hpp"

namespace skywire::services {

/// The type "dmsg-discovery": where dmsg clients and servers say how they are reached. Milestone
/// "http": its HTTP side answers.
framework::ServiceType dmsg_discovery_type();

}  // namespace skywire::services
