#pragma once

#include "framework/service_type.hpp"

namespace skywire::services {

/// A service that does nothing but log "tick": for trying out the supervisor.
/// spec/framework.md section 1.
framework::ServiceType noop_type();

}  // namespace skywire::services
