// Callers that mean harm, over dmsg: refused, counted, nothing half-installed, and everybody else
// is served.

#include "rpc/error.hpp"
#include "services/setup_node/test_setup.hpp"

namespace skywire::setup_node {
namespace {

using namespace test;

std::uint64_t refused(World& world, const std::string& reason) {
    return world.rig.world.node("setup")
        .metrics()
        .counter("rpc_refused_total", "", {{"server", "setup"}, {"reason", reason}})
        .value();
}

void check_unharmed(World& world) {
    world.wait_idle();
    CHECK(world.rules_everywhere() == 0);
    CHECK(world.dial("b", World::route({"b", "c"})));
}

}  // namespace

TEST_CASE("setup-node: bytes that are no call end their stream") {
    World world;
    const auto recorded = skywire::test::vectors("visor/gob_rpc.json");
    const auto& writes = recorded.at("setup_rpc_dmsg_port_36").at("writes").as_array();
    const Bytes call = skywire::test::hex(skywire::test::text(writes[0], "hex"));
    std::vector<Bytes> hostile{
        skywire::test::hex("ffff"),
        skywire::test::hex("03060003"),
        skywire::test::hex("f8ffffffffffffffff"),
        Bytes(70'000, std::byte{0xfb}),
    };
    // A call with bytes turned over here and there.
    for (std::size_t at = 40; at < call.size(); at += 29) {
        hostile.push_back(call);
        hostile.back()[at] ^= std::byte{0xff};
    }
    for (const Bytes& bytes : hostile) {
        auto stream =
            world.rig.dial(world.rig.client("a"), "setup", router::kSetupNodePort).value();
        Running<Result<>> writing(world.rig.world, stream->write(bytes));
        world.rig.world.run_for(100ms);
        stream->close();
        REQUIRE(world.rig.world.run_until([&] { return writing.ended(); }, 1min));
    }
    CHECK(refused(world, "undecodable") > 4);
    check_unharmed(world);
}

TEST_CASE("setup-node: requests that nobody may make are refused before any visor is asked") {
    World world;
    rpc::Client& a = world.caller("a");
    const auto refusal = [&](const router::BidirectionalRoute& route) {
        auto asked = world.ask(a, route);
        REQUIRE(world.rig.world.run_until([&] { return asked.ended(); }, 1min));
        REQUIRE_FALSE(*asked.result());
        return asked.result()->error().message();
    };
    // In the name of another visor.
    CHECK(
        refusal(World::route({"b", "c"})) ==
        "the route does not begin at the visor that asks for it"
    );
    // Round and round.
    std::vector<std::string> names{"a"};
    for (int i = 0; i < 26; ++i) {
        names.emplace_back("b");
        names.emplace_back("c");
    }
    CHECK(refusal(World::route(names)) == "a route of 52 hops is above the limit of 50");
    auto route = World::route({"a", "b"});
    route.keep_alive = 24h;
    CHECK_THAT(refusal(route), Catch::StartsWith("a keep-alive time of 24h0m0s"));
    route = World::route({"a", "b"});
    route.reverse.clear();
    CHECK(refusal(route) == "bidirectional route does not have reverse hops");
    route = World::route({"a", "c", "b"});
    route.forward[1].from = key_of("a");
    CHECK(refusal(route) == "bidirectional route has an invalid route description");
    CHECK(world.requests("invalid_route") == 5);
    for (const auto& [name, visor] : world.visors)
        CHECK(visor->calls.empty());
    check_unharmed(world);
}

TEST_CASE("setup-node: a flood of requests of one visor leaves room for the others") {
    Options options;
    options.setups_per_caller_max = 4;
    World world(options);
    for (const auto& [name, visor] : world.visors)
        visor->of_2026();
    world.visor("c").hangs.insert(router::kReserveIds);
    std::vector<World::Asked> asked;
    for (int stream = 0; stream < 4; ++stream) {
        rpc::Client& a = world.caller("a");
        for (int i = 0; i < 3; ++i)
            asked.push_back(world.ask(a, World::route({"a", "c"})));
    }
    const auto limited = [&] { return world.requests("concurrency_limit") == 8; };
    REQUIRE(world.rig.world.run_until(limited, 10s));
    CHECK(world.dial("b", World::route({"b", "a"})));
    REQUIRE(world.rig.world.run_until(
        [&] {
            return std::all_of(asked.begin(), asked.end(), [](auto& each) { return each.ended(); });
        },
        2min
    ));
    const auto stats = parse_json(world.node->stats_json()).value().as_object();
    CHECK(stats.at("concurrency_drops").to_number<int>() == 8);
    world.visor("c").hangs.clear();
    world.visor("b").rules.clear();
    world.visor("a").rules.clear();
    check_unharmed(world);
}

TEST_CASE("setup-node: streams that are opened and left alone") {
    Options options;
    options.setups_per_caller_max = 2;
    World world(options);
    std::vector<std::unique_ptr<net::Stream>> streams;
    streams.reserve(6);
    for (int i = 0; i < 6; ++i) {
        streams.push_back(
            world.rig.dial(world.rig.client("a"), "setup", router::kSetupNodePort).value()
        );
    }
    world.rig.world.run_for(1s);
    CHECK(refused(world, "connections_of_caller") == 2);
    check_unharmed(world);
    world.rig.world.run_for(30s);
    CHECK(refused(world, "idle") >= 4);
    for (const auto& stream : streams)
        stream->close();
}

TEST_CASE("setup-node: a set-up that ends only after the stop has given up on it is unwound") {
    World world;
    world.stuck = true;
    auto asked = world.ask(world.caller("a"), World::route({"a", "b"}));
    REQUIRE(world.rig.world.run_until([&] { return world.node->stats().active() == 1; }, 10s));
    const auto late = world.rig.world.run(world.node->stop(world.rig.world.clock().now() + 1s));
    CHECK_FALSE(late.empty());
    world.stuck = false;
    world.wait_idle();
    REQUIRE(world.rig.world.run_until([&] { return asked.ended(); }, 1min));
    CHECK_FALSE(*asked.result());
}

}  // namespace skywire::setup_node
