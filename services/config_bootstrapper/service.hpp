#pragma once

#include "framework/service_type.hpp"

namespace skywire::services {

/// The type "config-bootstrapper": tells visors which services a deployment has and how they are
/// reached. Milestones: "http" once it serves at `addr`, "dmsg" with its first session.
framework::ServiceType config_bootstrapper_type();

}  // namespace skywire::services
