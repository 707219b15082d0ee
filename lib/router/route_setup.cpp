#include "router/route_setup.hpp"

#include "router/error.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::router {
namespace {

bool leads(
    const std::vector<Hop>& hops, const crypto::PublicKey& from, const crypto::PublicKey& to
) {
    if (hops.front().from != from || hops.back().to != to) return false;
    const auto gap = std::adjacent_find(hops.begin(), hops.end(), [](const Hop& a, const Hop& b) {
        return a.to != b.from;
    });
    return gap == hops.end() && std::none_of(hops.begin(), hops.end(), [](const Hop& hop) {
               return hop.from.is_null() || hop.to.is_null() || hop.transport == TransportId();
           });
}

void count(std::map<crypto::PublicKey, std::size_t>& ids, const std::vector<Hop>& hops) {
    ++ids[hops.front().from];
    for (const Hop& hop : hops)
        ++ids[hop.to];
}

/// Hands ids out in the order in which they were reserved.
class Reservoir {
 public:
    explicit Reservoir(ReservedIds ids) : ids_(std::move(ids)) {}

    /// The null id where there is none left.
    RouteId pop(const crypto::PublicKey& key) {
        const auto of_key = ids_.find(key);
        std::size_t& taken = taken_[key];
        if (of_key == ids_.end() || taken >= of_key->second.size()) return RouteId{};
        return of_key->second[taken++];
    }

 private:
    ReservedIds ids_;
    std::map<crypto::PublicKey, std::size_t> taken_;
};

/// The two ends of one way of a route.
struct OneWay {
    ForwardRule forward;
    ConsumeRule consume;
};

Result<OneWay> make_one_way(
    const std::vector<Hop>& hops,
    const RouteDescriptor& descriptor,
    Duration keep_alive,
    Reservoir& ids,
    RouteRules& into
) {
    OneWay way;
    RouteId key = ids.pop(hops.front().from);
    if (key == RouteId{}) return Error(errc::no_key);
    for (std::size_t i = 0; i < hops.size(); ++i) {
        const Hop& hop = hops[i];
        const RouteId next = ids.pop(hop.to);
        if (next == RouteId{}) return Error(errc::no_key);
        if (i == 0) {
            way.forward = ForwardRule{keep_alive, key, descriptor, next, hop.transport};
        } else {
            into.intermediary[hop.from].push_back({keep_alive, key, next, hop.transport});
        }
        key = next;
    }
    way.consume = ConsumeRule{keep_alive, key, descriptor};
    return way;
}

}  // namespace

Result<> check_route(const BidirectionalRoute& route, const RouteLimits& limits) {
    if (route.forward.empty()) return Error(errc::no_forward_hops);
    if (route.reverse.empty()) return Error(errc::no_reverse_hops);
    const std::size_t longest = std::max(route.forward.size(), route.reverse.size());
    if (longest > limits.hops_max) {
        return Error(
            errc::too_many_hops,
            fmt::format("a route of {} hops is above the limit of {}", longest, limits.hops_max)
        );
    }
    const RouteDescriptor& descriptor = route.descriptor;
    if (!leads(route.forward, descriptor.source, descriptor.destination) ||
        !leads(route.reverse, descriptor.destination, descriptor.source)) {
        return Error(errc::invalid_description);
    }
    if (route.keep_alive <= Duration(0) || route.keep_alive > limits.keep_alive_max) {
        return Error(
            errc::keep_alive_out_of_range,
            fmt::format(
                "a keep-alive time of {} is not above 0 and at most {}",
                format_duration(route.keep_alive),
                format_duration(limits.keep_alive_max)
            )
        );
    }
    return {};
}

std::map<crypto::PublicKey, std::size_t> ids_needed(const BidirectionalRoute& route) {
    std::map<crypto::PublicKey, std::size_t> ids;
    count(ids, route.forward);
    count(ids, route.reverse);
    return ids;
}

Result<RouteRules> make_rules(const BidirectionalRoute& route, ReservedIds reserved) {
    RouteRules rules;
    Reservoir ids(std::move(reserved));
    const RouteDescriptor& there = route.descriptor;
    const RouteDescriptor back = there.inverted();
    const auto forward = make_one_way(route.forward, there, route.keep_alive, ids, rules);
    if (!forward) return forward.error();
    const auto reverse = make_one_way(route.reverse, back, route.keep_alive, ids, rules);
    if (!reverse) return reverse.error();
    rules.responder = EdgeRules{there, reverse->forward, forward->consume};
    rules.initiator = EdgeRules{back, forward->forward, reverse->consume};
    return rules;
}

}  // namespace skywire::router
