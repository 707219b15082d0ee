// Any request to the routes of the transport-discovery, sent over dmsg so that it is its stream
// key's. An input is a line "METHOD TARGET", header lines, an empty line, and the body; the store
// is kept for a while, so that requests meet one another.

#include "net/test_loop.hpp"
#include "services/common/http_surface.hpp"
#include "services/common/test_host.hpp"
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

struct World {
    World()
        : loop(&clock),
          host(loop.context),
          store(host, {}),
          opened(loop.run(store.open())),
          answers(loop.metrics, {}),
          transports(loop.context, store.store(), options()),
          uptimes(loop.context, store.store()),
          auth(
              loop.context,
              store,
              {std::string(tpd::kPrefix), /*testing=*/true, {std::string(kMonitor)}}
          ),
          rate_limit({0, 10}),
          routes({loop.context, transports, uptimes, auth, answers, rate_limit}),
          reports({loop.context, transports, uptimes, answers}),
          surface(host, {}) {
        loop.run(auth.open()).value();
        loop.run(transports.open()).value();
        routes.add_to(surface.router());
        reports.add_to(surface.router());
    }
    ~World() { (void)loop.run(store.close(SteadyTime::max())); }

    static tpd::Transports::Options options() {
        return {{std::chrono::minutes(1), std::chrono::hours(1)}, /*shared=*/false};
    }

    ManualClock clock{WallTime(std::chrono::seconds(1'795'167'603))};
    net::TestLoop loop;
    services::TestHost host;
    services::ServiceStore store;
    Result<> opened;
    tpd::Answers answers;
    tpd::Transports transports;
    tpd::Uptimes uptimes;
    services::RequestAuth auth;
    tpd::RateLimit rate_limit;
    tpd::Routes routes;
    tpd::Reports reports;
    services::HttpSurface surface;
};

std::string_view take_line(std::string_view& rest) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return line;
}

http::Method method_of(std::string_view name) {
    using http::Method;
    for (const Method method : {Method::get, Method::head, Method::post, Method::delete_})
        if (http::method_name(method) == name) return method;
    return Method::other;
}

http::Request read_request(std::string_view input) {
    http::Request request;
    const std::string_view first = take_line(input);
    const std::size_t space = std::min(first.find(' '), first.size());
    request.method = method_of(first.substr(0, space));
    request.method_text = first.substr(0, space);
    request.target = first.substr(std::min(space + 1, first.size()));
    if (request.target.empty() || request.target.front() != '/') request.target.insert(0, "/");
    request.path = request.target.substr(0, request.target.find('?'));
    while (!input.empty()) {
        const std::string_view line = take_line(input);
        if (line.empty()) break;
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos) continue;
        request.fields.add(std::string(line.substr(0, colon)), std::string(line.substr(colon + 1)));
    }
    request.body = input;
    request.remote = net::Address::tcp(std::string(kCaller), 49152);
    return request;
}

Task<unsigned> status_of(const http::Router& router, http::Request request) {
    const http::Response response = co_await router.handle(request);
    co_return response.status;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static std::unique_ptr<World> world;
    static std::size_t requests = 0;
    if (requests++ % kRequestsPerStore == 0) {
        world.reset();
        world = std::make_unique<World>();
    }
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const unsigned status =
        world->loop.run(status_of(world->surface.router(), read_request(input)));
    if (status < 200 || status > 503) std::abort();
    // What is listed is what may be.
    const tpd::Table& table = world->transports.table();
    for (const transport::TransportId& id : table.ids())
        if (!transport::check_entry(table.find(id)->entry)) std::abort();
    // Some requests later, what was stored is on its way out.
    world->clock.advance(std::chrono::seconds(size % 7));
    if (!world->loop.run(world->transports.sweep())) std::abort();
    return 0;
}
