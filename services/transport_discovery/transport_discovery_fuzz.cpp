// Any request to the routes of the transport-discovery, sent over dmsg so that it is its stream
// key's. An input is a line "METHOD TARGET", header lines, an empty line, and the body; the store
// is kept for a while, so that requests meet one another.

#include "services/common/http_surface.hpp"
#include "services/common/test_request.hpp"
#include "services/transport_discovery/fuzz_parts.hpp"
#include "services/transport_discovery/reports.hpp"
#include "services/transport_discovery/routes.hpp"

#include <cstdlib>

using namespace skywire;

namespace {

/// After so many requests a new store: a finding shall not hang on millions of inputs before it.
constexpr std::size_t kRequestsPerStore = 64;

constexpr std::string_view kMonitor =
    "037c40008101a4ea4ead1e02d0299c032666c197008d02fda56f52103a74805b3a";
/// The visor that the recorded requests are signed by.
constexpr std::string_view kCaller =
    "03278a0cb02db85d65c453985dd99d7d017046b6eb0ac30c7daa433808d4ab855f";

struct World : tpd::FuzzParts {
    World()
        : FuzzParts(std::chrono::minutes(1)),
          auth(
              loop.context,
              store,
              {std::string(tpd::kPrefix), /*testing=*/true, {std::string(kMonitor)}}
          ),
          rate_limit({0, 10}),
          routes({loop.context, transports, uptimes, auth, answers, rate_limit}),
          reports({loop.context, transports, uptimes, traffic, answers}),
          surface(host, {}) {
        loop.run(auth.open()).value();
        routes.add_to(surface.router());
        reports.add_to(surface.router());
    }

    services::RequestAuth auth;
    tpd::RateLimit rate_limit;
    tpd::Routes routes;
    tpd::Reports reports;
    services::HttpSurface surface;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static std::unique_ptr<World> world;
    static std::size_t requests = 0;
    if (requests++ % kRequestsPerStore == 0) {
        world.reset();
        world = std::make_unique<World>();
    }
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    http::Request request = services::read_request(input);
    request.remote = net::Address::tcp(std::string(kCaller), 49152);
    const http::Response response =
        world->loop.run(services::answer_of(world->surface.router(), std::move(request)));
    if (response.status < 200 || response.status > 503) std::abort();
    // What is listed is what may be.
    const tpd::Table& table = world->transports.table();
    for (const transport::TransportId& id : table.ids())
        if (!transport::check_entry(table.find(id)->entry)) std::abort();
    // Some requests later, what was stored is on its way out.
    world->clock.advance(std::chrono::seconds(size % 7));
    if (!world->loop.run(world->transports.sweep())) std::abort();
    return 0;
}
