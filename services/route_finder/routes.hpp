#pragma once

#include "base/metrics.hpp"
#include "http/router.hpp"
#include "net/context.hpp"
#include "services/route_finder/live_graph.hpp"
#include "services/route_finder/request.hpp"
#include "services/route_finder/search.hpp"

#include <map>
#include <string>
#include <string_view>

namespace skywire::route_finder {

/// POST /routes: spec/services-http.md section 7. Used on one event loop.
///
/// Counts route_finder_requests_total by outcome, so that every refusal is counted by its reason.
class Routes {
 public:
    /// `graph` outlives the routes.
    Routes(const net::Context& context, const LiveGraph& graph);

    /// The routes outlive the router.
    void add_to(http::Router& router);

 private:
    Task<http::Response> find(http::Request& request);
    http::Response answered(std::string_view outcome, unsigned status, std::string_view message);

    Metrics& metrics_;
    const LiveGraph& graph_;
    Search search_;
    std::map<std::string_view, Counter*> outcomes_;
    Counter& truncated_;
};

/// Appends the pair's member: "FROM:TO":[[{"TpID":...,"From":...,"To":...},...],...].
void append_routes(
    std::string& out, const Graph& graph, const Pair& pair, const std::vector<Route>& routes
);

}  // namespace skywire::route_finder
