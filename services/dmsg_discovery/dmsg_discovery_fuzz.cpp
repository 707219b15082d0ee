// Any request to the routes of dmsg-discovery. An input is a line "METHOD TARGET", header lines, an
// empty line, and the body; the store is kept for a while, so that requests meet one another.

#include "net/test_loop.hpp"
#include "services/common/http_surface.hpp"
#include "services/common/test_host.hpp"
#include "services/common/test_request.hpp"
#include "services/dmsg_discovery/discovery.hpp"
#include "services/dmsg_discovery/routes.hpp"
#include "store/memory.hpp"

#include <cstdlib>

using namespace skywire;

namespace {

/// After so many requests a new store: a finding shall not hang on millions of inputs before it.
constexpr std::size_t kRequestsPerStore = 64;

constexpr std::string_view kMonitor =
    "02857a87410b3709eddb99bc00508cc7cfeb588d5ed87e3ef9d2aac838ad49470a";

struct World {
    World()
        : loop(&clock),
          host(loop.context),
          store(store::make_memory_store(loop.context)),
          discovery(loop.context, *store, rules()),
          routes(loop.metrics, discovery, {std::string(kMonitor)}, {}),
          surface(host, options()) {
        routes.add_to(surface.router());
    }

    static discovery::Rules rules() {
        discovery::Rules rules;
        rules.client_lifetime = std::chrono::minutes(1);
        return rules;
    }
    static services::HttpSurface::Options options() {
        services::HttpSurface::Options options;
        options.service_name = "dmsg-discovery";
        return options;
    }

    ManualClock clock{WallTime(std::chrono::seconds(1'795'167'603))};
    net::TestLoop loop;
    services::TestHost host;
    std::unique_ptr<store::Store> store;
    discovery::Discovery discovery;
    discovery::Routes routes;
    services::HttpSurface surface;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static std::unique_ptr<World> world;
    static std::size_t requests = 0;
    if (requests++ % kRequestsPerStore == 0) world = std::make_unique<World>();

    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const http::Response response =
        world->loop.run(services::answer_of(world->surface.router(), services::read_request(input))
        );
    switch (response.status) {
        case 200:
        case 400:
        case 401:
        case 403:
        case 404:
        case 405:
        case 422:
        case 500:
            break;
        default:
            std::abort();
    }
    // Some requests later, what was stored is on its way out.
    world->clock.advance(std::chrono::seconds(size % 7));
    return 0;
}
