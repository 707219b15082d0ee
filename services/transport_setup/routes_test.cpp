// The routes before visors that a test scripts, over dmsg in virtual time; first the recorded
// requests of a service with no visor to reach.

#include "services/transport_setup/routes.hpp"

#include "base/test.hpp"
#include "dmsg/client/client_rig.hpp"
#include "router/transport_calls.hpp"
#include "rpc/server.hpp"
#include "services/common/test_recorded.hpp"
#include "transport/entry.hpp"

namespace skywire::transport_setup {
namespace {

using namespace std::chrono_literals;
using dmsg::test::key_of;
using dmsg::test::Running;
using services::local_request;

/// A visor as far as transport-setup sees it.
class Visor {
 public:
    Visor(dmsg::test::Rig& rig, const std::string& name)
        : rig_(rig), context_(rig.world.node(name).context()), key_(key_of(name)) {
        dmsg::Client& client = rig.add_client(name);
        methods_.on<router::TransportRequest>(
            std::string(router::kAddTransport),
            [this](net::Address by, router::TransportRequest asked) {
                return add(std::move(by), std::move(asked));
            }
        );
        methods_.on<router::UuidRequest>(
            std::string(router::kRemoveTransport),
            [this](net::Address, router::UuidRequest asked) { return remove(asked); }
        );
        methods_.on<rpc::Nothing>(
            std::string(router::kGetTransports),
            [this](net::Address, rpc::Nothing) { return list(); }
        );
        server_.emplace(context_, methods_, rpc::Server::Options());
        server_->serve(client.listen(router::kTransportSetupPort).value());
    }
    ~Visor() { CHECK(rig_.world.run(server_->stop(rig_.world.clock().now() + 10s)).empty()); }
    Visor(const Visor&) = delete;
    Visor& operator=(const Visor&) = delete;

    std::vector<router::TransportResponse> transports;
    std::string caller;
    bool hangs = false;

 private:
    Task<Result<rpc::Reply>> add(net::Address by, router::TransportRequest asked) {
        caller = by.host;
        if (hangs) (void)co_await net::sleep_for(context_.clock, 10min);
        if (asked.type == "bad") co_return fail(errc::unsupported, "transport type \"bad\"\n");
        const auto entry = transport::make_entry(key_, asked.remote, asked.type, "skycoin");
        transports.push_back({entry.id, key_, asked.remote, asked.type});
        co_return rpc::reply_of(transports.back());
    }
    Task<Result<rpc::Reply>> remove(router::UuidRequest asked) {
        const auto gone =
            std::erase_if(transports, [&](const auto& each) { return each.id == asked.id; });
        if (gone == 0) co_return fail(errc::forbidden, "transport was not created by skycoin");
        co_return rpc::reply_of(router::BoolResponse{true});
    }
    Task<Result<rpc::Reply>> list() {
        co_return rpc::reply_of(router::TransportResponses{transports});
    }

    dmsg::test::Rig& rig_;
    net::Context context_;
    crypto::PublicKey key_;
    rpc::Methods methods_;
    std::optional<rpc::Server> server_;
};

struct World {
    explicit World(Routes::Options options = {}) {
        rig.start_server("server");
        rig.wait_registered("server");
        dmsg::Client& client = rig.add_client("tps");
        routes.emplace(
            rig.world.node("tps").context(),
            [&client](dmsg::Address to) { return client.dial(to); },
            std::move(options)
        );
        routes->add_to(router);
    }

    http::Response send(http::Request made) {
        return rig.world.run(services::answer_of(router, std::move(made)));
    }
    http::Response post(std::string path, std::string body) {
        return send(local_request(http::Method::post, std::move(path), std::move(body)));
    }
    http::Response get(std::string path) {
        return send(local_request(http::Method::get, std::move(path)));
    }
    std::uint64_t counted(const std::string& outcome) {
        return rig.counted("tps", "transport_setup_requests_total", "outcome", outcome);
    }
    static std::string add_body(const std::string& from, const std::string& to, std::string type) {
        return fmt::format(
            R"({{"from":"{}","to":"{}","type":"{}"}})", key_of(from), key_of(to), type
        );
    }

    dmsg::test::Rig rig;
    http::Router router;
    std::optional<Routes> routes;
};

}  // namespace

TEST_CASE("transport-setup: the recorded requests") {
    World world;
    std::size_t compared = 0;
    for (const services::Recorded& pair : services::recorded("services/tps_http_2025.json")) {
        INFO(pair.name);
        // The service's own /health: another test's.
        if (pair.name == "health_404") continue;
        const auto response = world.send(pair.request);
        CHECK(static_cast<int>(response.status) == pair.status);
        CHECK(response.fields.get("Content-Type") == "text/plain; charset=utf-8");
        std::string body = pair.body;
        // Two objects are recorded; ours is the first alone.
        if (pair.name == "add_same") body.resize(body.find('\n') + 1);
        CHECK(response.body_view() == body);
        ++compared;
    }
    CHECK(compared == 8);
}

TEST_CASE("transport-setup: makes, lists and removes transports of a visor") {
    World world;
    Visor visor(world.rig, "a");
    const auto made = world.post("/add", World::add_body("a", "b", "stcpr"));
    REQUIRE(visor.transports.size() == 1);
    const auto& transport = visor.transports[0];
    const std::string text = fmt::format(
        R"({{"ID":"{}","Local":"{}","Remote":"{}","Type":"stcpr"}})",
        transport.id.to_text(),
        key_of("a"),
        key_of("b")
    );
    CHECK(made.status == 200);
    CHECK(made.fields.get("Content-Type") == "text/plain; charset=utf-8");
    CHECK(made.body_view() == text + "\n");
    CHECK(visor.caller == key_of("tps").to_text());
    const std::string path = "/" + key_of("a").to_text() + "/transports";
    CHECK(world.get(path).body_view() == "[" + text + "]\n");

    const std::string remove =
        fmt::format(R"({{"from":"{}","id":"{}"}})", key_of("a"), transport.id.to_text());
    const auto removed = world.post("/remove", remove);
    CHECK(removed.status == 200);
    CHECK(removed.body_view() == "{\"Result\":true}\n");
    const auto again = world.post("/remove", remove);
    CHECK(again.status == 500);
    CHECK(again.body_view() == "{\"error\":\"transport was not created by skycoin\"}\n");
    CHECK(world.get(path).body_view() == "[]\n");
    CHECK(world.counted("ok") == 4);
    CHECK(world.counted("refused") == 1);
}

TEST_CASE("transport-setup: a visor that hangs, and one with an unfriendly text") {
    World world;
    Visor visor(world.rig, "a");
    const auto bad = world.post("/add", World::add_body("a", "b", "bad"));
    CHECK(bad.status == 500);
    CHECK(bad.body_view() == "{\"error\":\"transport type \\\\\\\"bad\\\\\\\"\\\\x0a\"}\n");
    visor.hangs = true;
    const SteadyTime begun = world.rig.world.clock().now();
    const auto late = world.post("/add", World::add_body("a", "b", "stcpr"));
    CHECK(late.status == 500);
    CHECK(late.body_view() == "{\"error\":\"timed out\"}\n");
    CHECK(world.rig.world.clock().now() - begun >= 30s);
    CHECK(world.counted("failed") == 1);
    CHECK(world.get("/" + key_of("a").to_text() + "/transports").status == 200);
}

TEST_CASE("transport-setup: a visor that does not serve the port") {
    World world;
    world.rig.add_client("a");
    const auto refused = world.post("/add", World::add_body("a", "b", "stcpr"));
    CHECK(refused.status == 500);
    CHECK_THAT(
        std::string(refused.body_view()), Catch::StartsWith(R"({"error":"error dialing remote)")
    );
    CHECK(world.counted("unreachable") == 1);
}

TEST_CASE("transport-setup: over dmsg only who is named may ask") {
    Routes::Options options;
    options.whitelist.insert(key_of("operator"));
    World world(options);
    Visor visor(world.rig, "a");
    auto request = local_request(http::Method::post, "/add", World::add_body("a", "b", "stcpr"));
    request.remote = net::Address::tcp(key_of("stranger").to_text(), 49153);
    const auto refused = world.send(request);
    CHECK(refused.status == 403);
    CHECK(refused.body_view() == "{\"error\":\"this key may not ask for transports\"}\n");
    CHECK(visor.transports.empty());
    CHECK(world.counted("not_allowed") == 1);
    request.remote = net::Address::tcp(key_of("operator").to_text(), 49153);
    CHECK(world.send(request).status == 200);
}

TEST_CASE("transport-setup: a flood of requests is bounded") {
    Routes::Options options;
    options.requests_max = 2;
    World world(options);
    Visor visor(world.rig, "a");
    visor.hangs = true;
    const auto ask = [&] {
        return Running<http::Response>(
            world.rig.world,
            services::answer_of(
                world.router,
                local_request(http::Method::post, "/add", World::add_body("a", "b", "stcpr"))
            )
        );
    };
    auto first = ask();
    auto second = ask();
    world.rig.world.run_for(1s);
    CHECK(world.post("/add", World::add_body("a", "b", "stcpr")).status == 503);
    first.cancel();
    REQUIRE(world.rig.world.run_until([&] { return first.ended() && second.ended(); }, 1min));
    CHECK(world.counted("busy") == 1);
    CHECK(world.get("/" + key_of("a").to_text() + "/transports").status == 200);
}

TEST_CASE("transport-setup: bad keys and unknown paths") {
    World world;
    CHECK(world.get("/zz/transports").status == 400);
    CHECK(world.get("/zz/transports").body_view() == "{\"error\":\"Invalid public key\"}\n");
    CHECK(world.get("/" + std::string(66, '0') + "/transports").status == 400);
    CHECK(world.get("/add").status == 405);
    CHECK(world.get("/nothing").status == 404);
}

}  // namespace skywire::transport_setup
