#pragma once

#include "framework/service_type.hpp"

namespace skywire::services {

/// The type "stun-server": tells clients their address as seen from outside, from two addresses and
/// two ports, so that they learn what kind of NAT they sit behind. Milestone "listening".
framework::ServiceType stun_server_type();

}  // namespace skywire::services
