#pragma once

#include "dmsg/discovery_client.hpp"
#include "services/dmsg_discovery/discovery.hpp"

#include <memory>

namespace skywire::discovery {

/// The way of the discovery's own dmsg client to the discovery: none, it is right here. Keeps the
/// client from looking the discovery up at itself. `discovery` is on the service's own store.
std::unique_ptr<dmsg::DiscoveryClient> make_own_discovery(Discovery discovery);

}  // namespace skywire::discovery
