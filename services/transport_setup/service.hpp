#pragma once

#include "framework/service_type.hpp"

namespace skywire::services {

/// The type "transport-setup": makes and removes transports of visors that list its key, for who
/// asks over HTTP.
framework::ServiceType transport_setup_type();

}  // namespace skywire::services
