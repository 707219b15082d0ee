#pragma once

#include "framework/graph.hpp"
#include "framework/supervisor.hpp"

#include <string>

namespace skywire::framework {

/// The graph for tools and for eyes: with the states and start durations of a running deployment,
/// or without where `status` is null (a file that does not run). A service of the graph that is not
/// in `status` runs in another process.
///
/// JSON: {"services": [{label, state, reason, start_took, start_took_seconds, milestones}],
/// "edges": [{dependent, gate, upstream, milestone, on_restart, inferred}]}.
std::string graph_json(const Graph& graph, const DeploymentStatus* status);

/// DOT, for Graphviz: arrows lead from what is needed to what waits for it; dashed ones hold back
/// a milestone, not the whole service.
std::string graph_dot(const Graph& graph, const DeploymentStatus* status);

std::string_view on_upstream_restart_name(OnUpstreamRestart action) noexcept;

}  // namespace skywire::framework
