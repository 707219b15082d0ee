#pragma once

#include "framework/service_type.hpp"

namespace skywire::services {

/// Every type of service that this binary can run.
framework::ServiceRegistry all_service_types();

}  // namespace skywire::services
