#include "services/route_finder/graph.hpp"

#include "base/test.hpp"
#include "services/route_finder/test_graphs.hpp"

namespace skywire::route_finder {
namespace {

/// The type of the transport that is used between two visors; empty: none.
TransportId used(const Graph& graph, int from, int to) {
    TransportId id;
    int count = 0;
    const auto begin = graph.find(visor(from));
    const auto end = graph.find(visor(to));
    if (!begin || !end) return id;
    for (const Graph::Link& link : graph.links(*begin)) {
        if (!link.preferred || link.to != *end) continue;
        id = link.id;
        ++count;
    }
    CHECK(count <= 1);
    return id;
}

}  // namespace

TEST_CASE("graph: of parallel transports the preferred type is used, both ways") {
    Graph graph;
    constexpr std::array kWorstFirst{
        std::string_view("carrier-pigeon"),
        transport::kDmsg,
        transport::kWt,
        transport::kWs,
        transport::kWebrtc,
        transport::kStcp,
        transport::kSudph,
        transport::kSquicr,
        transport::kStcpr,
    };
    for (const auto type : kWorstFirst) {
        const auto entry = joins(1, 2, type);
        graph.put(entry);
        CHECK(used(graph, 1, 2) == entry.id);
        CHECK(used(graph, 2, 1) == entry.id);
    }
    CHECK(graph.transports() == kWorstFirst.size());
    // And the next best one once it is gone.
    for (std::size_t i = kWorstFirst.size(); i-- > 1;) {
        CHECK(graph.erase(joins(1, 2, kWorstFirst[i]).id));
        CHECK(used(graph, 1, 2) == joins(1, 2, kWorstFirst[i - 1]).id);
        CHECK(used(graph, 2, 1) == joins(1, 2, kWorstFirst[i - 1]).id);
    }
}

TEST_CASE("graph: a visor is there as long as it has a transport") {
    Graph graph;
    graph.put(joins(1, 2));
    graph.put(joins(2, 3));
    CHECK(graph.visors() == 3);
    CHECK(graph.erase(joins(1, 2).id));
    CHECK_FALSE(graph.erase(joins(1, 2).id));
    CHECK_FALSE(graph.find(visor(1)));
    CHECK(graph.find(visor(2)));
    CHECK(graph.erase(joins(2, 3).id));
    CHECK(graph.visors() == 0);
    CHECK(graph.transports() == 0);
    graph.put(joins(4, 5));
    CHECK(graph.visors() == 2);
    // Places are taken again.
    CHECK(graph.node_limit() == 3);
}

TEST_CASE("graph: a transport to oneself leads nowhere, one for set-up is left out") {
    Graph graph;
    graph.put(joins(1, 1));
    const auto node = graph.find(visor(1));
    REQUIRE(node);
    REQUIRE(graph.links(*node).size() == 1);
    CHECK_FALSE(graph.links(*node)[0].preferred);
    auto setup = joins(1, 2);
    setup.label = transport::kLabelSetup;
    graph.put(setup);
    CHECK_FALSE(graph.find(visor(2)));
    // One that becomes such goes.
    setup.label = transport::kLabelUser;
    graph.put(setup);
    CHECK(graph.find(visor(2)));
    setup.label = transport::kLabelSetup;
    graph.put(setup);
    CHECK_FALSE(graph.find(visor(2)));
    CHECK(graph.erase(joins(1, 1).id));
    CHECK(graph.visors() == 0);
}

TEST_CASE("graph: an entry without keys is no transport") {
    Graph graph;
    transport::Entry entry = joins(1, 2);
    entry.edges[1] = {};
    graph.put(entry);
    CHECK(graph.visors() == 0);
}

TEST_CASE("graph: put and erased in any order it is the graph of what is left") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        INFO("seed " << seed);
        const auto transports = random_transports(seed, 12, 60);
        std::mt19937_64 random(seed);
        Graph changed = graph_of(transports);
        std::vector<Measured> left;
        for (const Measured& each : transports) {
            if (random() % 2 == 0) {
                changed.erase(each.entry.id);
                std::erase_if(left, [&](const Measured& other) {
                    return other.entry.id == each.entry.id;
                });
            } else {
                changed.put(each.entry, each.latency_us);
                std::erase_if(left, [&](const Measured& other) {
                    return other.entry.id == each.entry.id;
                });
                left.push_back(each);
            }
        }
        std::shuffle(left.begin(), left.end(), random);
        const Graph anew = graph_of(left);
        CHECK(changed.transports() == anew.transports());
        CHECK(changed.visors() == anew.visors());
        for (int a = 0; a < 12; ++a) {
            CHECK(changed.find(visor(a)).has_value() == anew.find(visor(a)).has_value());
            for (int b = 0; b < 12; ++b)
                CHECK(used(changed, a, b) == used(anew, a, b));
        }
    }
}

}  // namespace skywire::route_finder
