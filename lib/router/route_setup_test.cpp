#include "router/route_setup.hpp"

#include "base/test.hpp"
#include "router/error.hpp"

namespace skywire::router {
namespace {

using namespace std::chrono_literals;

crypto::PublicKey named(std::string_view name) {
    const json::value keys = test::vectors("visor/keys.json");
    for (const json::value& each : keys.as_array()) {
        if (test::text(each, "name") == name)
            return crypto::PublicKey::from_text(test::text(each, "pk")).value();
    }
    throw std::runtime_error("no key " + std::string(name));
}

const crypto::PublicKey kA = named("a");
const crypto::PublicKey kB = named("b");
const crypto::PublicKey kC = named("c");

TransportId id(std::string_view text) {
    return TransportId::from_text(text).value();
}

const TransportId kAB = id("a1788510-ef6e-0c89-ba6b-175e07b18964");
const TransportId kAC = id("a063dfa6-7fdf-0fbb-a37b-c1b5d0221995");
const TransportId kBC = id("d6f1a248-204c-06db-83a0-b50103197174");
/// The recording's way back on its asymmetric route.
const TransportId kBackAB = id("f13060a9-6068-0a46-bf07-6bed786555be");

BidirectionalRoute route(std::vector<Hop> forward, std::vector<Hop> reverse) {
    return {{kA, kB, 49152, 1}, 30s, std::move(forward), std::move(reverse)};
}

BidirectionalRoute one_hop() {
    return route({{kAB, kA, kB}}, {{kAB, kB, kA}});
}

BidirectionalRoute two_hops() {
    return route({{kAC, kA, kC}, {kBC, kC, kB}}, {{kBC, kB, kC}, {kAC, kC, kA}});
}

std::string edge_text(const EdgeRules& rules) {
    return to_hex(rules.descriptor.encode()) + " " + to_hex(encode(rules.forward)) + " " +
           to_hex(encode(rules.reverse));
}

std::string edge_text(const json::value& recorded) {
    return test::text(recorded, "Desc") + " " + test::text(recorded, "Forward") + " " +
           test::text(recorded, "Reverse");
}

void replay(const json::value& recorded, const BidirectionalRoute& asked) {
    INFO(test::text(recorded, "desc"));
    REQUIRE(check_route(asked));
    ReservedIds ids;
    std::map<crypto::PublicKey, std::size_t> counts;
    for (const auto& [text, list] : recorded.at("reserved_ids_in_pop_order").as_object()) {
        const auto key = crypto::PublicKey::from_text(text).value();
        for (const json::value& each : list.as_array())
            ids[key].push_back(RouteId{each.to_number<std::uint32_t>()});
        counts[key] = ids[key].size();
    }
    CHECK(ids_needed(asked) == counts);
    const auto rules = make_rules(asked, ids);
    REQUIRE(rules);
    CHECK(edge_text(rules->initiator) == edge_text(recorded.at("reply_to_initiator")));
    CHECK(edge_text(rules->responder) == edge_text(recorded.at("edge_rules_for_responder")));
    const auto& expected = recorded.at("intermediary_rules_by_addr").as_object();
    CHECK(rules->intermediary.size() == expected.size());
    for (const auto& [address, list] : expected) {
        const std::string text(address.substr(0, crypto::PublicKey::kTextSize));
        const auto& of_visor = rules->intermediary.at(crypto::PublicKey::from_text(text).value());
        REQUIRE(of_visor.size() == list.as_array().size());
        for (std::size_t i = 0; i < of_visor.size(); ++i)
            CHECK(to_hex(encode(of_visor[i])) == list.as_array()[i].as_string());
    }
}

}  // namespace

TEST_CASE("route set-up: the recorded routes give the recorded rules") {
    const json::value file = test::vectors("visor/setup_rules.json");
    const json::array& all = file.as_array();
    REQUIRE(all.size() == 3);
    replay(all[0], one_hop());
    replay(all[1], two_hops());
    replay(all[2], route({{kAC, kA, kC}, {kBC, kC, kB}}, {{kBackAB, kB, kA}}));
}

TEST_CASE("route set-up: a route to oneself by way of another, as pings have it") {
    BidirectionalRoute ping = route({{kAB, kA, kB}, {kAB, kB, kA}}, {{kAB, kA, kB}, {kAB, kB, kA}});
    ping.descriptor = {kA, kA, 49152, 2};
    REQUIRE(check_route(ping));
    CHECK(ids_needed(ping) == std::map<crypto::PublicKey, std::size_t>{{kA, 4}, {kB, 2}});
    ReservedIds ids;
    ids[kA] = {RouteId{1}, RouteId{2}, RouteId{3}, RouteId{4}};
    ids[kB] = {RouteId{10}, RouteId{11}};
    const auto rules = make_rules(ping, ids).value();
    CHECK(rules.initiator.forward.key == RouteId{1});
    CHECK(rules.initiator.forward.next == RouteId{10});
    CHECK(rules.responder.reverse.key == RouteId{2});
    CHECK(rules.responder.forward.key == RouteId{3});
    CHECK(rules.responder.forward.next == RouteId{11});
    CHECK(rules.initiator.reverse.key == RouteId{4});
    CHECK(rules.intermediary.at(kB).size() == 2);
    CHECK(rules.intermediary.at(kB)[0].next == RouteId{2});
    CHECK(rules.intermediary.at(kB)[1].next == RouteId{4});
}

TEST_CASE("route set-up: routes that are none, with the network's texts") {
    const auto refusal = [](const BidirectionalRoute& asked) {
        const auto checked = check_route(asked);
        return checked ? std::string() : checked.error().message();
    };
    BidirectionalRoute asked = one_hop();
    asked.forward.clear();
    CHECK(refusal(asked) == "bidirectional route does not have forward hops");
    asked = one_hop();
    asked.reverse.clear();
    CHECK(refusal(asked) == "bidirectional route does not have reverse hops");

    const std::string invalid = "bidirectional route has an invalid route description";
    asked = one_hop();
    asked.forward[0].from = kC;
    CHECK(refusal(asked) == invalid);
    asked = one_hop();
    asked.forward[0].to = kC;
    CHECK(refusal(asked) == invalid);
    asked = one_hop();
    std::swap(asked.reverse[0].from, asked.reverse[0].to);
    CHECK(refusal(asked) == invalid);
    asked = one_hop();
    asked.descriptor = asked.descriptor.inverted();
    CHECK(refusal(asked) == invalid);
    // A gap in the middle, which the network's setup-node would not see.
    asked = two_hops();
    asked.forward[1].from = kA;
    CHECK(refusal(asked) == invalid);
    asked = one_hop();
    asked.forward[0].transport = TransportId();
    CHECK(refusal(asked) == invalid);
}

TEST_CASE("route set-up: limits") {
    BidirectionalRoute asked = one_hop();
    for (const Duration out : {Duration(0), Duration(-1), Duration(1h) + Duration(1)}) {
        asked.keep_alive = out;
        CHECK(check_route(asked).error() == make_error_code(errc::keep_alive_out_of_range));
    }
    asked.keep_alive = 10min;
    CHECK(check_route(asked));
    asked.forward.clear();
    for (int i = 0; i < 25; ++i) {
        asked.forward.push_back({kAB, kA, kB});
        asked.forward.push_back({kAB, kB, kA});
    }
    asked.forward.back() = {kAB, kB, kB};
    CHECK(asked.forward.size() == 50);
    CHECK(check_route(asked));
    // Never above what one call can ask for.
    for (const auto& [key, count] : ids_needed(asked))
        CHECK(count <= 255);
    asked.forward.push_back({kAB, kB, kB});
    CHECK(check_route(asked).error() == make_error_code(errc::too_many_hops));
}

TEST_CASE("route set-up: a visor that reserves too few ids, or the null id") {
    const auto without_last = [](const crypto::PublicKey& key) {
        ReservedIds ids;
        std::uint32_t next = 1;
        for (const auto& [each, count] : ids_needed(two_hops())) {
            for (std::size_t i = 0; i < count; ++i)
                ids[each].push_back(RouteId{next++});
        }
        ids[key].pop_back();
        return ids;
    };
    for (const auto& key : {kA, kB, kC}) {
        const auto rules = make_rules(two_hops(), without_last(key));
        REQUIRE_FALSE(rules);
        CHECK(rules.error().message() == "id reservoir has no key");
    }
    ReservedIds null_id;
    null_id[kA] = {RouteId{0}, RouteId{1}};
    null_id[kB] = {RouteId{1}, RouteId{2}};
    CHECK(make_rules(one_hop(), null_id).error() == make_error_code(errc::no_key));
    CHECK(make_rules(one_hop(), {}).error() == make_error_code(errc::no_key));
}

}  // namespace skywire::router
