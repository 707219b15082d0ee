#pragma once

#include "net/test_loop.hpp"
#include "services/common/http_surface.hpp"
#include "services/common/test_host.hpp"
#include "services/common/test_request.hpp"
#include "services/route_finder/live_graph.hpp"
#include "services/route_finder/routes.hpp"
#include "services/route_finder/test_graphs.hpp"

#include <memory>
#include <string>

/// For tests of the route-finder: its routes over a graph that the test makes.
namespace skywire::route_finder {

class TestFinder {
 public:
    TestFinder()
        : loop(&clock),
          host(loop.context),
          graph(loop.context, std::chrono::minutes(10)),
          routes(loop.context, graph),
          surface(host, options()) {
        routes.add_to(surface.router());
    }

    /// The graph of the recorded answers.
    void know_recorded() {
        auto made = std::make_unique<Graph>();
        for (const transport::Entry& entry : recorded_transports())
            made->put(entry);
        graph.replace(std::move(made));
    }

    http::Response send(http::Method method, std::string target, std::string body = {}) {
        return loop.run(services::answer_of(
            surface.router(), services::local_request(method, std::move(target), std::move(body))
        ));
    }
    http::Response ask(std::string body) {
        return send(http::Method::post, "/routes", std::move(body));
    }

    std::uint64_t counted(std::string outcome) {
        return loop.metrics
            .counter("route_finder_requests_total", "", {{"outcome", std::move(outcome)}})
            .value();
    }

    ManualClock clock;
    net::TestLoop loop;
    services::TestHost host;
    LiveGraph graph;
    Routes routes;
    services::HttpSurface surface;

 private:
    static services::HttpSurface::Options options() {
        services::HttpSurface::Options options;
        options.service_name = "route-finder";
        return options;
    }
};

}  // namespace skywire::route_finder
