#pragma once

#include "framework/service_type.hpp"
#include "transport/view.hpp"

#include <memory>

namespace skywire::services {

/// The type "setup-node": sets up routes for visors that ask at its dmsg port 36. Milestone "dmsg":
/// visors can find it. `view` is the list of a transport-discovery in the same process; null: none.
framework::ServiceType setup_node_type(std::shared_ptr<transport::TransportView> view);

}  // namespace skywire::services
