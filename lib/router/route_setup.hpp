#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "crypto/keys.hpp"
#include "router/rule.hpp"

#include <cstddef>
#include <map>
#include <vector>

/// How a route becomes rules: what a setup-node computes. No I/O. spec/visor.md section 10.5.
namespace skywire::router {

/// A step of a route, over one transport.
struct Hop {
    TransportId transport;
    crypto::PublicKey from;
    crypto::PublicKey to;

    friend bool operator==(const Hop&, const Hop&) noexcept = default;
};

/// What a visor asks a setup-node for: a way there, and a way back.
struct BidirectionalRoute {
    /// From the asking visor's view.
    RouteDescriptor descriptor;
    /// Of all rules.
    Duration keep_alive{0};
    std::vector<Hop> forward;
    std::vector<Hop> reverse;

    friend bool operator==(const BidirectionalRoute&, const BidirectionalRoute&) = default;
};

/// The two rules by which a visor at an end of a route sends and receives. For either end the
/// descriptor's destination is the visor itself.
struct EdgeRules {
    RouteDescriptor descriptor;
    ForwardRule forward;
    ConsumeRule reverse;

    friend bool operator==(const EdgeRules&, const EdgeRules&) noexcept = default;
};

struct RouteLimits {
    /// One way. The network's visors ask for routes of at most 50 hops.
    std::size_t hops_max = 50;
    /// The network's visors ask for 30 s to 10 min; a rule with a longer time would stay with
    /// visors that no longer have a use for it.
    Duration keep_alive_max{std::chrono::hours(1)};
};

/// Whether the hops lead from source to destination and back without a gap, over transports with
/// two ends. errc of section 10.5, too_many_hops, keep_alive_out_of_range. The network's setup-node
/// looks at the ends alone; a route with a gap would put rules under ids that belong to others.
[[nodiscard]] Result<> check_route(const BidirectionalRoute& route, const RouteLimits& limits = {});

/// How many ids each visor is asked for.
std::map<crypto::PublicKey, std::size_t> ids_needed(const BidirectionalRoute& route);

/// What each visor has answered, in that order.
using ReservedIds = std::map<crypto::PublicKey, std::vector<RouteId>>;

/// All rules of a route.
struct RouteRules {
    std::map<crypto::PublicKey, std::vector<IntermediaryRule>> intermediary;
    /// For the visor at the far end.
    EdgeRules responder;
    /// The answer to the visor that asks.
    EdgeRules initiator;
};

/// Of a route that `check_route` has passed. errc::no_key where ids are missing.
Result<RouteRules> make_rules(const BidirectionalRoute& route, ReservedIds ids);

}  // namespace skywire::router
