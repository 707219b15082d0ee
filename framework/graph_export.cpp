#include "framework/graph_export.hpp"

#include "framework/json_writer.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace skywire::framework {

namespace {

const ServiceStatus* find_service(const DeploymentStatus* status, std::string_view label) {
    if (status == nullptr) return nullptr;
    const auto& services = status->services;
    const auto found = std::find_if(services.begin(), services.end(), [&](const auto& service) {
        return service.label == label;
    });
    return found == services.end() ? nullptr : &*found;
}

/// A double-quoted DOT string. Graphviz knows one escape of its own for quotes, and `\n`.
std::string dot_string(std::string_view text) {
    std::string out = "\"";
    for (const char each : text) {
        if (each == '"' || each == '\\') {
            (out += '\\') += each;
        } else if (each == '\n') {
            out += "\\n";
        } else if (static_cast<unsigned char>(each) >= 0x20) {
            out += each;
        }
    }
    return out + '"';
}

std::string_view color(State state) {
    switch (state) {
        case State::starting:
            return "lightblue";
        case State::ready:
            return "palegreen";
        case State::degraded:
            return "khaki";
        case State::failed:
            return "salmon";
        case State::stopping:
            return "lightgrey";
        case State::stopped:
            return "lightgrey";
    }
    return "white";
}

std::string dot_node(const std::string& label, const ServiceStatus* service, bool running) {
    if (service == nullptr) {
        const std::string_view style = running ? ", style=dotted" : "";
        return fmt::format("    {} [label={}{}];\n", dot_string(label), dot_string(label), style);
    }
    std::string text = fmt::format("{}\n{}", label, state_name(service->state));
    if (service->start_took > Duration(0)) text += " in " + format_duration(service->start_took);
    return fmt::format(
        "    {} [label={}, style=filled, fillcolor={}];\n",
        dot_string(label),
        dot_string(text),
        color(service->state)
    );
}

}  // namespace

std::string_view on_upstream_restart_name(OnUpstreamRestart action) noexcept {
    switch (action) {
        case OnUpstreamRestart::notify:
            return "notify";
        case OnUpstreamRestart::restart:
            return "restart";
        case OnUpstreamRestart::ignore:
            return "ignore";
    }
    return "unknown";
}

std::string graph_json(const Graph& graph, const DeploymentStatus* status) {
    JsonWriter out;
    out.begin_object();
    out.key("services").begin_array();
    for (const std::string& label : graph.labels()) {
        out.begin_object();
        out.member("label", label);
        if (const ServiceStatus* service = find_service(status, label)) {
            out.member("type", service->type);
            out.member("state", state_name(service->state));
            out.member("reason", service->reason);
            out.duration("start_took", service->start_took);
            out.key("milestones").begin_array();
            for (const std::string& milestone : service->milestones)
                out.value(milestone);
            out.end_array();
        }
        out.end_object();
    }
    out.end_array();
    out.key("edges").begin_array();
    for (const Edge& edge : graph.edges()) {
        out.begin_object();
        out.member("dependent", graph.labels()[edge.dependent]);
        out.member("gate", edge.gate);
        out.member("upstream", graph.labels()[edge.upstream]);
        out.member("milestone", edge.milestone);
        out.member("on_restart", on_upstream_restart_name(edge.on_restart));
        out.member("inferred", edge.inferred);
        out.end_object();
    }
    out.end_array();
    out.end_object();
    return out.take();
}

std::string graph_dot(const Graph& graph, const DeploymentStatus* status) {
    std::string out = "digraph deployment {\n    rankdir=LR;\n    node [shape=box];\n";
    for (const std::string& label : graph.labels()) {
        out += dot_node(label, find_service(status, label), status != nullptr);
    }
    for (const Edge& edge : graph.edges()) {
        const bool whole = edge.gate == "start";
        out += fmt::format(
            "    {} -> {} [label={}{}];\n",
            dot_string(graph.labels()[edge.upstream]),
            dot_string(graph.labels()[edge.dependent]),
            dot_string(whole ? edge.milestone : edge.milestone + " before " + edge.gate),
            whole ? "" : ", style=dashed"
        );
    }
    return out + "}\n";
}

}  // namespace skywire::framework
