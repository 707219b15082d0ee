#pragma once

#include "framework/service_type.hpp"

namespace skywire::services {

/// The type "dmsg-server": takes sessions of dmsg clients and bridges streams between them.
/// Milestone "registered": its entry stands in the dmsg-discovery.
framework::ServiceType dmsg_server_type();

}  // namespace skywire::services
