#pragma once

#include "framework/service_type.hpp"

namespace skywire::services {

/// The type "service-discovery": where visors say which services they offer, and find those of
/// others. Milestones "http": its HTTP side answers; "dmsg": it is reached over dmsg, too.
framework::ServiceType service_discovery_type();

}  // namespace skywire::services
