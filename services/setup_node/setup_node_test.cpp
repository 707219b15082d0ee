// Whole set-ups over dmsg, in virtual time: what each visor is told, and what is left when one of
// them refuses, hangs or is not there.

#include "services/setup_node/test_setup.hpp"

namespace skywire::setup_node {
namespace {

using namespace test;

std::string message(const Result<router::EdgeRules>& result) {
    return result ? std::string("a value") : result.error().message();
}

}  // namespace

TEST_CASE("setup-node: a route of one hop") {
    World world;
    const auto rules = world.dial("a", World::route({"a", "b"}));
    REQUIRE(rules);
    const Visor& b = world.visor("b");
    REQUIRE(b.edge);
    CHECK(b.calls == std::vector<std::string>{"reserve 2", "edge"});
    CHECK(world.visor("a").calls == std::vector<std::string>{"reserve 2"});
    CHECK(world.visor("c").calls.empty());
    CHECK(b.caller == key_of("setup").to_text());
    // Each sends what the other takes.
    CHECK(rules->forward.next == b.edge->reverse.key);
    CHECK(b.edge->forward.next == rules->reverse.key);
    CHECK(rules->descriptor == b.edge->descriptor.inverted());
    CHECK(b.edge->descriptor.destination == key_of("b"));
    CHECK(rules->forward.transport == transport_id(1));
    CHECK(rules->forward.keep_alive == Duration(30s));
    REQUIRE(world.listing.asked.size() == 1);
    CHECK(world.listing.asked[0].from == key_of("b"));
    CHECK(world.requests("ok") == 1);
    world.wait_idle();
    CHECK(world.rules_everywhere() == 2);
}

TEST_CASE("setup-node: a route of two hops") {
    World world;
    const auto rules = world.dial("a", World::route({"a", "c", "b"}));
    REQUIRE(rules);
    const Visor& b = world.visor("b");
    const Visor& c = world.visor("c");
    CHECK(c.calls == std::vector<std::string>{"reserve 2", "intermediary"});
    REQUIRE(c.rules.size() == 2);
    REQUIRE(b.edge);
    // a -> c -> b, and back.
    const auto there = std::get<router::IntermediaryRule>(c.rules.at(rules->forward.next));
    CHECK(there.next == b.edge->reverse.key);
    CHECK(there.transport == transport_id(2));
    const auto back = std::get<router::IntermediaryRule>(c.rules.at(b.edge->forward.next));
    CHECK(back.next == rules->reverse.key);
    CHECK(back.transport == transport_id(1));
}

TEST_CASE("setup-node: a visor that asks for a route to itself, as pings do") {
    World world;
    router::BidirectionalRoute ping = World::route({"a", "b", "a"});
    const auto rules = world.dial("a", ping);
    REQUIRE(rules);
    CHECK(world.visor("a").calls == std::vector<std::string>{"reserve 4", "edge"});
    CHECK(world.visor("b").rules.size() == 2);
}

TEST_CASE("setup-node: several routes over one stream") {
    World world;
    rpc::Client& a = world.caller("a");
    for (int i = 0; i < 3; ++i) {
        auto asked = world.ask(a, World::route({"a", "b"}));
        REQUIRE(world.rig.world.run_until([&] { return asked.ended(); }, 1min));
        CHECK(*asked.result());
    }
    CHECK(world.requests("ok") == 3);
}

TEST_CASE("setup-node: a hop that refuses: the error is told, and nothing is left") {
    struct Case {
        std::string visor;
        std::string_view method;
        std::string text;
        Reason reason;
    };
    const std::vector<Case> cases{
        {"a",
         router::kReserveIds,
         "failed to reserve route ids: reserve routeID from " + key_of("a").to_text() +
             " failed: failure code 4 (boom)",
         Reason::id_reservation},
        {"b",
         router::kReserveIds,
         "failed to reserve route ids: reserve routeID from " + key_of("b").to_text() +
             " failed: failure code 4 (boom)",
         Reason::id_reservation},
        {"c",
         router::kAddIntermediaryRules,
         "failed to add intermediary rules to " + key_of("c").to_text() + ": failure code 4 (boom)",
         Reason::intermediary_rules},
        {"b",
         router::kAddEdgeRules,
         "failed to broadcast rules to destination router: failure code 4 (boom)",
         Reason::destination_rules},
    };
    for (const Case& each : cases) {
        INFO(each.visor << " " << each.method);
        World world;
        for (const auto& [name, visor] : world.visors)
            visor->of_2026();
        world.visor(each.visor).refuses[each.method] = "failure code 4 (boom)";
        const auto rules = world.dial("a", World::route({"a", "c", "b"}));
        CHECK(message(rules) == each.text);
        world.wait_idle();
        CHECK(world.rules_everywhere() == 0);
        CHECK(world.requests(std::string(reason_name(each.reason))) == 1);
        const bool told = each.method != router::kReserveIds;
        CHECK(world.visor("c").calls.back() == (told ? "delete" : "reserve 2"));
        // It can be had as soon as the visor has recovered.
        world.visor(each.visor).refuses.clear();
        CHECK(world.dial("a", World::route({"a", "c", "b"})));
    }
}

TEST_CASE("setup-node: a hop that hangs is given up, and nothing is left") {
    for (const auto& [name, method] : std::vector<std::pair<std::string, std::string_view>>{
             {"b", router::kReserveIds},
             {"c", router::kReserveIds},
             {"c", router::kAddIntermediaryRules},
             {"b", router::kAddEdgeRules}
         }) {
        INFO(name << " " << method);
        World world;
        for (const auto& [each, visor] : world.visors)
            visor->of_2026();
        world.visor(name).hangs.insert(method);
        rpc::Client& a = world.caller("a");
        const SteadyTime begun = world.rig.world.clock().now();
        auto asked = world.ask(a, World::route({"a", "c", "b"}));
        REQUIRE(world.rig.world.run_until([&] { return asked.ended(); }, 1min));
        CHECK(world.rig.world.clock().now() - begun >= 30s);
        CHECK_THAT(message(*asked.result()), Catch::EndsWith("timed out"));
        CHECK(world.requests("context_deadline") == 1);
        world.wait_idle();
        CHECK(world.rules_everywhere() == 0);
        // Nobody else is held up by it.
        CHECK(world.dial("a", World::route({"a", name == "b" ? "c" : "b"})));
    }
}

TEST_CASE("setup-node: a visor that is not there") {
    World world;
    world.visor("b").stop();
    world.rig.stop_client("b");
    const auto rules = world.dial("a", World::route({"a", "c", "b"}));
    CHECK_THAT(message(rules), Catch::StartsWith("a dial attempt failed with: "));
    CHECK(world.requests("id_reservation") == 1);
    CHECK(world.visor("c").rules.empty());
    world.visor("a").stop();
    auto asked = world.ask(world.caller("a"), World::route({"a", "c"}));
    REQUIRE(world.rig.world.run_until([&] { return asked.ended(); }, 1min));
    CHECK(world.requests("source_unreachable") == 1);
}

TEST_CASE("setup-node: a visor that hands out too few ids") {
    World world;
    world.visor("c").short_by = 1;
    const auto rules = world.dial("a", World::route({"a", "c", "b"}));
    CHECK(message(rules) == "id reservoir has no key");
    CHECK(world.requests("rule_generation") == 1);
    CHECK(world.rules_everywhere() == 0);
}

TEST_CASE("setup-node: visors of 2024 cannot delete: theirs expire, nobody minds") {
    World world;
    world.visor("b").refuses[router::kAddEdgeRules] = "failure code 1 (boom)";
    CHECK_FALSE(world.dial("a", World::route({"a", "c", "b"})));
    world.wait_idle();
    CHECK(world.unwound("unsupported") == 2);
    CHECK(world.unwound("deleted") == 0);
}

TEST_CASE("setup-node: nobody is handed rules for a transport that is not listed") {
    World world;
    const auto route = World::route({"a", "c", "b"});
    world.listing.unknown.insert(route.reverse.front().transport);
    const auto rules = world.dial("a", route);
    CHECK_THAT(message(rules), Catch::EndsWith("is not listed"));
    CHECK(world.requests("invalid_route") == 1);
    world.listing.unknown.clear();
    world.listing.down = "no answer";
    for (int i = 0; i < 6; ++i)
        CHECK_THAT(message(world.dial("a", route)), Catch::EndsWith("no answer"));
    CHECK_FALSE(world.visor("b").edge);
    CHECK(world.rules_everywhere() == 0);
    world.listing.down.clear();
    CHECK(world.dial("a", route));
}

TEST_CASE("setup-node: a caller that leaves: the far end is not told, and the rest is deleted") {
    World world;
    for (const auto& [name, visor] : world.visors)
        visor->of_2026();
    world.visor("c").hangs.insert(router::kAddIntermediaryRules);
    rpc::Client& a = world.caller("a");
    auto asked = world.ask(a, World::route({"a", "c", "b"}));
    Visor& c = world.visor("c");
    REQUIRE(world.rig.world.run_until([&] { return !c.rules.empty(); }, 10s));
    world.rig.world.run(a.close());
    REQUIRE(world.rig.world.run_until([&] { return world.requests("context_canceled") == 1; }, 20s)
    );
    REQUIRE(world.rig.world.run_until([&] { return world.rules_everywhere() == 0; }, 20s));
    CHECK_FALSE(world.visor("b").edge);
    CHECK(world.visor("b").calls == std::vector<std::string>{"reserve 2"});
}

TEST_CASE("setup-node: a caller that leaves while the far end is told: all of it is deleted") {
    World world;
    for (const auto& [name, visor] : world.visors)
        visor->of_2026();
    Visor& b = world.visor("b");
    b.hangs.insert(router::kAddEdgeRules);
    rpc::Client& a = world.caller("a");
    auto asked = world.ask(a, World::route({"a", "c", "b"}));
    REQUIRE(world.rig.world.run_until([&] { return b.edge.has_value(); }, 10s));
    CHECK(world.rules_everywhere() == 4);
    world.rig.world.run(a.close());
    REQUIRE(world.rig.world.run_until([&] { return world.rules_everywhere() == 0; }, 20s));
    CHECK(world.requests("context_canceled") == 1);
    world.wait_idle();
    CHECK(world.unwound("deleted") == 2);
}

TEST_CASE("setup-node: stopped in the middle of a set-up") {
    World world;
    for (const auto& [name, visor] : world.visors)
        visor->of_2026();
    world.visor("c").hangs.insert(router::kAddIntermediaryRules);
    rpc::Client& a = world.caller("a");
    auto asked = world.ask(a, World::route({"a", "c", "b"}));
    Visor& c = world.visor("c");
    REQUIRE(world.rig.world.run_until([&] { return !c.rules.empty(); }, 10s));
    // Given time, it ends what it has begun.
    const SteadyTime now = world.rig.world.clock().now();
    world.rig.world.run(world.node->drain(now + 60s));
    CHECK(world.rules_everywhere() == 0);
    CHECK(world.rig.world.run(world.node->stop(now + 70s)).empty());
    REQUIRE(world.rig.world.run_until([&] { return asked.ended(); }, 10s));
    CHECK_FALSE(*asked.result());
}

TEST_CASE("setup-node: a destination that fails again and again is left in peace for a while") {
    World world;
    world.visor("b").refuses[router::kReserveIds] = "failure code 4 (boom)";
    rpc::Client& a = world.caller("a");
    const auto ask = [&](const std::vector<std::string>& names) {
        auto asked = world.ask(a, World::route(names));
        REQUIRE(world.rig.world.run_until([&] { return asked.ended(); }, 1min));
        return message(*asked.result());
    };
    for (int i = 0; i < 5; ++i)
        CHECK_THAT(ask({"a", "b"}), Catch::EndsWith("failure code 4 (boom)"));
    CHECK(ask({"a", "b"}) == "the destination has failed too often lately");
    CHECK(world.requests("circuit_open") == 1);
    CHECK(world.visor("b").calls.size() == 5);
    // Others are reached, by way of it, too.
    CHECK(ask({"a", "c"}) == "a value");
    const auto stats = parse_json(world.node->stats_json()).value().as_object();
    CHECK(stats.at("top_failed_destinations").as_array()[0].at("circuit").as_string() == "open");
    world.rig.world.run_for(29s);
    world.visor("b").refuses.clear();
    world.rig.world.run_for(32s);
    CHECK(message(world.dial("a", World::route({"a", "b"}))) == "a value");
}

}  // namespace skywire::setup_node
