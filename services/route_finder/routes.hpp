#pragma once

#include "base/metrics.hpp"
#include "http/router.hpp"
#include "net/context.hpp"
#include "services/route_finder/live_graph.hpp"
#include "services/route_finder/request.hpp"
#include "services/route_finder/search.hpp"

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace skywire::route_finder {

/// POST /routes: spec/services-http.md section 7. Used on one event loop.
///
/// Counts route_finder_requests_total by outcome, so that every refusal is counted by its reason.
class Routes {
 public:
    /// Ends once the graph has been brought up to date after the call.
    using Renew = std::function<Task<>()>;

    /// `graph` outlives the routes. A pair without a route is looked for again after `renew`, once
    /// per request: visors take the 404 as final, and ask right after they have made a transport.
    /// Empty: the graph is always up to date.
    Routes(const net::Context& context, const LiveGraph& graph, Renew renew = {});

    /// The routes outlive the router.
    void add_to(http::Router& router);

 private:
    Task<http::Response> find(http::Request& request);
    http::Response answered(std::string_view outcome, unsigned status, std::string_view message);

    Metrics& metrics_;
    const LiveGraph& graph_;
    Renew renew_;
    Search search_;
    std::map<std::string_view, Counter*> outcomes_;
    Counter& truncated_;
};

/// Appends the pair's member: "FROM:TO":[[{"TpID":...,"From":...,"To":...},...],...].
void append_routes(
    std::string& out, const Graph& graph, const Pair& pair, const std::vector<Route>& routes
);

}  // namespace skywire::route_finder
