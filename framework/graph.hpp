#pragma once

#include "framework/deployment_config.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace skywire::framework {

/// "`gate` of `dependent` waits for `milestone` of `upstream`": indices into the graph's labels.
struct Edge {
    std::size_t dependent = 0;
    std::string gate;
    std::size_t upstream = 0;
    std::string milestone;
    OnUpstreamRestart on_restart = OnUpstreamRestart::notify;
    /// Written in the file, or inferred from the types.
    bool inferred = true;
};

/// The order between the milestones of a deployment's blocks. Nodes are (block, milestone): a block
/// passes "start", then the milestones of its type in their order, then "ready". So the bootstrap
/// circle of discovery and server (http before registered before dmsg) has no cycle.
class Graph {
 public:
    /// Edges from `depends_on` where a block has it, else from the types. Dependencies are valid
    /// (checked before); cycles may be there still: ask `cycle`.
    explicit Graph(const std::vector<BlockConfig>& blocks);

    const std::vector<std::string>& labels() const noexcept { return labels_; }
    const std::vector<Edge>& edges() const noexcept { return edges_; }

    /// The edges that hold back `gate` of a block.
    std::vector<const Edge*> gates(std::size_t block, std::string_view gate) const;
    /// The edges of all its gates.
    std::vector<const Edge*> upstreams(std::size_t block) const;
    /// The edges that lead to blocks that need this one.
    std::vector<const Edge*> dependents(std::size_t block) const;
    /// Blocks whose start waits for this one: they are stopped before it.
    std::vector<std::size_t> stop_before(std::size_t block) const;

    /// The shortest cycle as "a:start", "b:ready", "b:start", "a:ready", "a:start": each waits for
    /// the next, first and last are the same. Nothing where there is none.
    std::optional<std::vector<std::string>> cycle() const;

    /// Blocks in an order in which each comes after what its start waits for, else that of the
    /// file.
    std::vector<std::size_t> order() const;

 private:
    std::vector<std::string> labels_;
    std::vector<std::vector<std::string>> milestones_;
    std::vector<Edge> edges_;
};

}  // namespace skywire::framework
