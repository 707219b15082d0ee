#include "framework/graph_export.hpp"

#include "base/test.hpp"

namespace skywire::framework {
namespace {

/// A discovery, a server, and the discovery's own side on the server's network.
std::vector<BlockConfig> blocks() {
    static const ServiceType discovery{
        .name = "disc",
        .summary = {},
        .fields = {},
        .milestones = {"http", "dmsg"},
        .edges = {{.gate = "dmsg", .upstream_type = "serv", .milestone = "ready"}},
        .check = {},
        .facts = {},
        .externals = {},
        .make = {},
    };
    static const ServiceType server{
        .name = "serv",
        .summary = {},
        .fields = {},
        .milestones = {},
        .edges = {{.gate = "start", .upstream_type = "disc", .milestone = "http"}},
        .check = {},
        .facts = {},
        .externals = {},
        .make = {},
    };
    std::vector<BlockConfig> blocks(2);
    blocks[0].label = "di\"sc";
    blocks[0].type = &discovery;
    blocks[1].label = "server";
    blocks[1].type = &server;
    return blocks;
}

DeploymentStatus status() {
    DeploymentStatus status;
    ServiceStatus service;
    service.label = "di\"sc";
    service.type = "disc";
    service.state = State::ready;
    service.start_took = std::chrono::milliseconds(250);
    service.milestones = {"http"};
    status.services.push_back(service);
    return status;
}

TEST_CASE("graph export: JSON has states, start durations and edges") {
    const Graph graph(blocks());
    const DeploymentStatus running = status();
    const auto document = parse_json(graph_json(graph, &running)).value();
    const auto& services = document.at("services").as_array();
    REQUIRE(services.size() == 2);
    CHECK(services[0].at("label") == "di\"sc");
    CHECK(services[0].at("state") == "ready");
    CHECK(services[0].at("start_took") == "250ms");
    CHECK(services[0].at("start_took_seconds").as_double() == Approx(0.25));
    CHECK(services[0].at("milestones").at(0) == "http");
    // Of another process.
    CHECK_FALSE(services[1].as_object().contains("state"));

    const auto& edges = document.at("edges").as_array();
    REQUIRE(edges.size() == 2);
    for (const auto& edge : edges) {
        CHECK(edge.at("inferred") == true);
        CHECK(edge.at("on_restart") == "notify");
        if (edge.at("dependent") == "server") {
            CHECK(edge.at("gate") == "start");
            CHECK(edge.at("upstream") == "di\"sc");
            CHECK(edge.at("milestone") == "http");
        } else {
            CHECK(edge.at("gate") == "dmsg");
        }
    }
    const auto offline = parse_json(graph_json(graph, nullptr)).value();
    CHECK_FALSE(offline.at("services").at(0).as_object().contains("state"));
}

TEST_CASE("graph export: DOT quotes labels and shows states and durations") {
    const Graph graph(blocks());
    const DeploymentStatus running = status();
    const std::string dot = graph_dot(graph, &running);
    CHECK(dot.starts_with("digraph deployment {\n"));
    CHECK(dot.ends_with("}\n"));
    CHECK(
        dot.find(
            R"(    "di\"sc" [label="di\"sc\nready in 250ms", style=filled, fillcolor=palegreen];)"
        ) != std::string::npos
    );
    CHECK(dot.find(R"("server" [label="server", style=dotted];)") != std::string::npos);
    CHECK(dot.find(R"("di\"sc" -> "server" [label="http"];)") != std::string::npos);
    CHECK(
        dot.find(R"("server" -> "di\"sc" [label="ready before dmsg", style=dashed];)") !=
        std::string::npos
    );
    CHECK(graph_dot(graph, nullptr).find("style=dotted") == std::string::npos);
}

}  // namespace
}  // namespace skywire::framework
