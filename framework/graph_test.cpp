#include "framework/graph.hpp"

#include "base/test.hpp"

using namespace skywire;
using namespace skywire::framework;

namespace {

ServiceType type_of(
    std::string name, std::vector<std::string> milestones, std::vector<TypeEdge> edges = {}
) {
    ServiceType type;
    type.name = std::move(name);
    type.milestones = std::move(milestones);
    type.edges = std::move(edges);
    return type;
}

BlockConfig block_of(std::string label, const ServiceType& type) {
    BlockConfig block;
    block.label = std::move(label);
    block.type = &type;
    return block;
}

Dependency on(std::string label, std::string milestone = "ready", std::string gate = "start") {
    Dependency dependency;
    dependency.label = std::move(label);
    dependency.milestone = std::move(milestone);
    dependency.gate = std::move(gate);
    return dependency;
}

/// The network's bootstrap circle: spec/framework.md section 13 point 3.
struct Network {
    ServiceType discovery =
        type_of("dmsg-discovery", {"http", "dmsg"}, {{"dmsg", "dmsg-server", "registered"}});
    ServiceType server =
        type_of("dmsg-server", {"listening", "registered"}, {{"start", "dmsg-discovery", "http"}});
    ServiceType transports =
        type_of("transport-discovery", {"http"}, {{"start", "dmsg-server", "registered"}});
    ServiceType routes = type_of(
        "route-finder",
        {},
        {{"start", "dmsg-server", "registered"}, {"start", "transport-discovery", "ready"}}
    );
};

std::vector<std::string> names(const Graph& graph, const std::vector<std::size_t>& blocks) {
    std::vector<std::string> labels;
    for (const std::size_t block : blocks)
        labels.push_back(graph.labels()[block]);
    return labels;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("graph: discovery and server wait for each other's milestones without a cycle") {
    const Network network;
    const std::vector<BlockConfig> blocks{
        block_of("rf", network.routes),
        block_of("tpd", network.transports),
        block_of("dmsgs", network.server),
        block_of("dmsgd", network.discovery)
    };
    const Graph graph(blocks);
    CHECK_FALSE(graph.cycle());
    CHECK(graph.edges().size() == 5);
    CHECK(names(graph, graph.order()) == Names{"dmsgd", "dmsgs", "tpd", "rf"});

    const auto held = graph.gates(3, "dmsg");
    REQUIRE(held.size() == 1);
    CHECK(graph.labels()[held[0]->upstream] == "dmsgs");
    CHECK(held[0]->milestone == "registered");
    CHECK(held[0]->inferred);
    CHECK(graph.gates(3, "start").empty());
    CHECK(graph.gates(0, "start").size() == 2);
    CHECK(graph.upstreams(3).size() == 1);
    CHECK(graph.dependents(2).size() == 3);
}

TEST_CASE("graph: what waits with its start is stopped first, what waits with a milestone is not") {
    const Network network;
    const std::vector<BlockConfig> blocks{
        block_of("dmsgd", network.discovery),
        block_of("dmsgs", network.server),
        block_of("tpd", network.transports),
        block_of("rf", network.routes)
    };
    const Graph graph(blocks);
    CHECK(names(graph, graph.stop_before(0)) == Names{"dmsgs"});
    CHECK(names(graph, graph.stop_before(1)) == Names{"tpd", "rf"});
    CHECK(names(graph, graph.stop_before(2)) == Names{"rf"});
    CHECK(graph.stop_before(3).empty());
}

TEST_CASE("graph: an edge of a type leads to every block of the other type, never to itself") {
    const ServiceType peer = type_of("peer", {"up"}, {{"up", "peer", "ready"}});
    const Network network;
    const std::vector<BlockConfig> alone{block_of("p", peer)};
    CHECK(Graph(alone).edges().empty());
    const std::vector<BlockConfig> blocks{
        block_of("s1", network.server),
        block_of("d1", network.discovery),
        block_of("d2", network.discovery),
        block_of("s2", network.server)
    };
    const Graph graph(blocks);
    CHECK(graph.edges().size() == 8);
    CHECK_FALSE(graph.cycle());
    CHECK(names(graph, graph.order()) == Names{"d1", "d2", "s1", "s2"});
}

TEST_CASE("graph: depends_on replaces the edges of the type, an empty one removes them") {
    const Network network;
    std::vector<BlockConfig> blocks{
        block_of("dmsgd", network.discovery),
        block_of("dmsgs", network.server),
        block_of("tpd", network.transports)
    };
    blocks[1].depends_on.emplace();
    blocks[2].depends_on = {on("dmsgd", "http"), on("dmsgs", "listening", "http")};
    blocks[2].depends_on->at(1).on_restart = OnUpstreamRestart::restart;
    const Graph graph(blocks);
    CHECK(graph.upstreams(1).empty());
    REQUIRE(graph.upstreams(2).size() == 2);
    const Edge& edge = *graph.upstreams(2)[1];
    CHECK_FALSE(edge.inferred);
    CHECK(edge.gate == "http");
    CHECK(edge.milestone == "listening");
    CHECK(edge.on_restart == OnUpstreamRestart::restart);
    CHECK(names(graph, graph.stop_before(0)) == Names{"tpd"});
}

TEST_CASE("graph: a cycle is named from gate to gate") {
    const ServiceType plain = type_of("plain", {"m1", "m2"});
    std::vector<BlockConfig> blocks{
        block_of("a", plain), block_of("b", plain), block_of("c", plain)
    };
    blocks[0].depends_on = {on("b")};
    blocks[1].depends_on = {on("a", "m1")};
    const Graph graph(blocks);
    REQUIRE(graph.cycle());
    CHECK(*graph.cycle() == Names{"a:start", "b:ready", "b:start", "a:m1", "a:start"});
    CHECK(graph.order().size() == 3);
}

TEST_CASE("graph: the shortest of several cycles is told") {
    const ServiceType plain = type_of("plain", {});
    std::vector<BlockConfig> blocks{
        block_of("a", plain), block_of("b", plain), block_of("c", plain), block_of("d", plain)
    };
    blocks[0].depends_on = {on("b")};
    blocks[1].depends_on = {on("c")};
    blocks[2].depends_on = {on("a"), on("d")};
    blocks[3].depends_on = {on("c")};
    const auto cycle = Graph(blocks).cycle();
    REQUIRE(cycle);
    CHECK(*cycle == Names{"c:start", "d:ready", "d:start", "c:ready", "c:start"});
}

TEST_CASE("graph: a block that waits for itself through a milestone is a cycle") {
    const ServiceType first = type_of("first", {"m"}, {{"m", "second", "ready"}});
    const ServiceType second = type_of("second", {}, {{"start", "first", "ready"}});
    const std::vector<BlockConfig> blocks{block_of("a", first), block_of("b", second)};
    const auto cycle = Graph(blocks).cycle();
    REQUIRE(cycle);
    CHECK(*cycle == Names{"a:m", "b:ready", "b:start", "a:ready", "a:m"});
}

TEST_CASE("graph: a large deployment is ordered and searched") {
    const ServiceType plain = type_of("plain", {"m"});
    std::vector<BlockConfig> blocks;
    for (std::size_t i = 0; i < 500; ++i) {
        blocks.push_back(block_of(fmt::format("b{}", i), plain));
        blocks.back().depends_on.emplace();
        for (std::size_t j = i + 1; j < std::min<std::size_t>(i + 20, 500); ++j) {
            blocks.back().depends_on->push_back(on(fmt::format("b{}", j)));
        }
    }
    CHECK_FALSE(Graph(blocks).cycle());
    CHECK(Graph(blocks).order().front() == 499);
    blocks[499].depends_on->push_back(on("b0"));
    CHECK(Graph(blocks).cycle());
}
