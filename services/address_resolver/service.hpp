#pragma once

#include "framework/service_type.hpp"

namespace skywire::services {

/// The type "address-resolver": where visors say how they can be dialled, and ask for one another.
/// Milestones as all HTTP services: http_milestones().
framework::ServiceType address_resolver_type();

}  // namespace skywire::services
