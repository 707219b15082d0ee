#pragma once

#include "services/route_finder/graph.hpp"

#include <cstdint>
#include <span>
#include <vector>

/// The shortest simple paths of a Graph: spec/services-http.md section 7, "Ours". No I/O.
namespace skywire::route_finder {

/// What is asked for.
struct Bounds {
    unsigned hops_min = 0;
    unsigned hops_max = 0;
    unsigned routes_max = kRoutesDefault;

    static constexpr unsigned kRoutesDefault = 5;
    static constexpr unsigned kRoutesLimit = 20;
    /// Longer routes are not looked for.
    static constexpr unsigned kHopsLimit = 10;
};

struct Hop {
    TransportId id;
    Graph::Node from;
    Graph::Node to;
};
using Route = std::vector<Hop>;

enum class Outcome {
    found,
    /// An endpoint has no transports, or nothing joins the two.
    no_route_to_destination,
    /// There are ways, but none within the bounds.
    route_not_found,
};

/// Finds routes; keeps its working memory between calls.
///
/// Order: hops, then latency of the whole route, then the ids of its transports one after another,
/// so that equal graphs give equal answers. The routes are simple: no visor comes twice. From a
/// visor to itself there are the ways to each neighbour and back, and no others.
class Search {
 public:
    /// What one call may cost, so that a hostile question has an end: partial paths that are
    /// expanded, and links looked at for that.
    struct Limits {
        std::size_t expanded_max = 20'000;
        std::size_t looked_at_max = 1'000'000;
    };

    Search() = default;
    explicit Search(Limits limits) : limits_(limits) {}

    struct Answer {
        Outcome outcome = Outcome::found;
        std::vector<Route> routes;
        /// A limit was reached: there may be more routes, or better ones of the last length.
        bool truncated = false;
    };

    Answer find(
        const Graph& graph,
        const crypto::PublicKey& from,
        const crypto::PublicKey& to,
        const Bounds& bounds
    );

 private:
    struct Candidate {
        std::uint64_t latency_us;
        Route hops;
    };

    void out_and_back(Graph::Node node, const Bounds& bounds, Answer& answer);
    void between(Graph::Node from, Graph::Node to, const Bounds& bounds, Answer& answer);
    void add_layer(Graph::Node to);
    void extend(Graph::Node at, unsigned left, std::uint64_t latency_us);
    void offer(std::uint64_t latency_us);
    bool joined(Graph::Node from, Graph::Node to);

    Limits limits_;
    const Graph* graph_ = nullptr;
    /// layers_[r][node]: least latency of a way of exactly r hops from the node to the destination
    /// that does not pass the destination before its end; kNone where there is none.
    std::vector<std::vector<std::uint32_t>> layers_;
    /// The nodes that layer r reaches.
    std::vector<std::vector<Graph::Node>> reached_;
    std::size_t layers_made_ = 0;
    /// On the path under way.
    std::vector<char> visited_;
    Route path_;
    /// Of the length under way, best first; at most `wanted_`.
    std::vector<Candidate> candidates_;
    std::size_t wanted_ = 0;
    std::size_t expanded_ = 0;
    std::size_t looked_at_ = 0;
    bool truncated_ = false;
};

}  // namespace skywire::route_finder
