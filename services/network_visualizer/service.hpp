#pragma once

#include "framework/service_type.hpp"
#include "transport/view.hpp"

#include <memory>

namespace skywire::services {

/// The type "network-visualizer": a page that draws the live network, and what it draws as JSON.
/// `view` is where a transport-discovery of the same process publishes its list; null: there is
/// none. Milestones: "http" once it serves at `addr`, "dmsg" with its first session.
framework::ServiceType network_visualizer_type(std::shared_ptr<transport::TransportView> view);

}  // namespace skywire::services
