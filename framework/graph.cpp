#include "framework/graph.hpp"

#include "base/assert.hpp"

#include <queue>

namespace skywire::framework {

namespace {

/// Blocks and milestones numbered through: node = first node of the block + place of the milestone.
class Nodes {
 public:
    explicit Nodes(const std::vector<std::vector<std::string>>& milestones)
        : milestones_(milestones) {
        for (const auto& names : milestones) {
            first_.push_back(count_);
            count_ += names.size();
        }
    }

    std::size_t count() const noexcept { return count_; }

    std::size_t node(std::size_t block, std::string_view milestone) const {
        const auto& names = milestones_[block];
        const auto found = std::find(names.begin(), names.end(), milestone);
        SKY_ASSERT(found != names.end());
        return first_[block] + static_cast<std::size_t>(found - names.begin());
    }

    std::size_t block(std::size_t node) const {
        const auto after = std::upper_bound(first_.begin(), first_.end(), node);
        return static_cast<std::size_t>(after - first_.begin()) - 1;
    }

    const std::string& milestone(std::size_t node) const {
        const std::size_t owner = block(node);
        return milestones_[owner][node - first_[owner]];
    }

 private:
    const std::vector<std::vector<std::string>>& milestones_;
    std::vector<std::size_t> first_;
    std::size_t count_ = 0;
};

/// For each node, the nodes it waits for.
using Waits = std::vector<std::vector<std::size_t>>;

Waits waits_of(
    const Nodes& nodes,
    const std::vector<std::vector<std::string>>& milestones,
    const std::vector<Edge>& edges
) {
    Waits waits(nodes.count());
    for (std::size_t block = 0; block < milestones.size(); ++block) {
        const std::size_t first = nodes.node(block, milestones[block].front());
        for (std::size_t i = 1; i < milestones[block].size(); ++i) {
            waits[first + i].push_back(first + i - 1);
        }
    }
    for (const Edge& edge : edges) {
        waits[nodes.node(edge.dependent, edge.gate)].push_back(
            nodes.node(edge.upstream, edge.milestone)
        );
    }
    return waits;
}

/// Takes away nodes that nothing holds back until none is left or only cycles and what waits for
/// them: true for the latter.
std::vector<bool> stuck(const Waits& waits) {
    std::vector<std::vector<std::size_t>> waited_by(waits.size());
    std::vector<std::size_t> missing(waits.size());
    std::queue<std::size_t> free;
    for (std::size_t node = 0; node < waits.size(); ++node) {
        missing[node] = waits[node].size();
        if (missing[node] == 0) free.push(node);
        for (const std::size_t upstream : waits[node])
            waited_by[upstream].push_back(node);
    }
    std::vector<bool> stuck(waits.size(), true);
    for (; !free.empty(); free.pop()) {
        stuck[free.front()] = false;
        for (const std::size_t waiting : waited_by[free.front()]) {
            if (--missing[waiting] == 0) free.push(waiting);
        }
    }
    return stuck;
}

/// The shortest way from `start` along `waits` back to it, `start` at both ends; empty: none.
std::vector<std::size_t> way_back(const Waits& waits, std::size_t start) {
    constexpr auto kUnseen = std::size_t(-1);
    std::vector<std::size_t> from(waits.size(), kUnseen);
    std::queue<std::size_t> next;
    next.push(start);
    for (; !next.empty(); next.pop()) {
        const std::size_t node = next.front();
        for (const std::size_t upstream : waits[node]) {
            if (from[upstream] != kUnseen) continue;
            from[upstream] = node;
            if (upstream != start) {
                next.push(upstream);
                continue;
            }
            std::vector<std::size_t> way{start};
            for (std::size_t at = node; at != start; at = from[at])
                way.push_back(at);
            way.push_back(start);
            std::reverse(way.begin(), way.end());
            return way;
        }
    }
    return {};
}

}  // namespace

Graph::Graph(const std::vector<BlockConfig>& blocks) {
    std::map<std::string_view, std::vector<std::size_t>> by_type;
    std::map<std::string_view, std::size_t> by_label;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        labels_.push_back(blocks[i].label);
        std::vector<std::string> milestones{"start"};
        const auto& own = blocks[i].type->milestones;
        milestones.insert(milestones.end(), own.begin(), own.end());
        milestones.emplace_back("ready");
        milestones_.push_back(std::move(milestones));
        by_type[blocks[i].type->name].push_back(i);
        by_label[blocks[i].label] = i;
    }
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        if (blocks[i].depends_on) {
            for (const Dependency& dependency : *blocks[i].depends_on) {
                const auto upstream = by_label.find(dependency.label);
                SKY_ASSERT(upstream != by_label.end());
                edges_.push_back(
                    {i,
                     dependency.gate,
                     upstream->second,
                     dependency.milestone,
                     dependency.on_restart,
                     /*inferred=*/false}
                );
            }
            continue;
        }
        for (const TypeEdge& edge : blocks[i].type->edges) {
            const auto upstreams = by_type.find(edge.upstream_type);
            if (upstreams == by_type.end()) continue;
            for (const std::size_t upstream : upstreams->second) {
                if (upstream == i) continue;
                edges_.push_back(
                    {i,
                     edge.gate,
                     upstream,
                     edge.milestone,
                     OnUpstreamRestart::notify,
                     /*inferred=*/true}
                );
            }
        }
    }
}

std::vector<const Edge*> Graph::gates(std::size_t block, std::string_view gate) const {
    std::vector<const Edge*> found;
    for (const Edge& edge : edges_) {
        if (edge.dependent == block && edge.gate == gate) found.push_back(&edge);
    }
    return found;
}

std::vector<const Edge*> Graph::upstreams(std::size_t block) const {
    std::vector<const Edge*> found;
    for (const Edge& edge : edges_) {
        if (edge.dependent == block) found.push_back(&edge);
    }
    return found;
}

std::vector<const Edge*> Graph::dependents(std::size_t block) const {
    std::vector<const Edge*> found;
    for (const Edge& edge : edges_) {
        if (edge.upstream == block) found.push_back(&edge);
    }
    return found;
}

std::vector<std::size_t> Graph::stop_before(std::size_t block) const {
    std::set<std::size_t> found;
    for (const Edge& edge : edges_) {
        if (edge.upstream == block && edge.gate == "start") found.insert(edge.dependent);
    }
    return {found.begin(), found.end()};
}

std::optional<std::vector<std::string>> Graph::cycle() const {
    const Nodes nodes(milestones_);
    const Waits waits = waits_of(nodes, milestones_, edges_);
    const std::vector<bool> is_stuck = stuck(waits);
    std::vector<std::size_t> best;
    // A cycle leaves a block at one of its gates: only those can begin it.
    std::set<std::size_t> gates;
    for (const Edge& edge : edges_)
        gates.insert(nodes.node(edge.dependent, edge.gate));
    std::size_t tries = 0;
    constexpr std::size_t kTriesMax = 64;  // of a large deployment, some short cycle will do
    for (const std::size_t gate : gates) {
        if (!is_stuck[gate] || (++tries > kTriesMax && !best.empty())) continue;
        auto way = way_back(waits, gate);
        if (!way.empty() && (best.empty() || way.size() < best.size())) best = std::move(way);
    }
    if (best.empty()) return std::nullopt;
    std::vector<std::string> names;
    for (std::size_t i = 0; i < best.size(); ++i) {
        // Inside of a block, where the way comes in and where it leaves tell enough.
        const std::size_t block = nodes.block(best[i]);
        const bool inner = i > 0 && i + 1 < best.size() && nodes.block(best[i - 1]) == block &&
                           nodes.block(best[i + 1]) == block;
        if (!inner) names.push_back(labels_[block] + ":" + nodes.milestone(best[i]));
    }
    return names;
}

std::vector<std::size_t> Graph::order() const {
    std::vector<std::set<std::size_t>> waits(labels_.size());
    for (const Edge& edge : edges_) {
        if (edge.gate == "start") waits[edge.dependent].insert(edge.upstream);
    }
    std::vector<std::vector<std::size_t>> waited_by(labels_.size());
    std::vector<std::size_t> missing(labels_.size());
    std::set<std::size_t> free;
    for (std::size_t block = 0; block < waits.size(); ++block) {
        missing[block] = waits[block].size();
        if (missing[block] == 0) free.insert(block);
        for (const std::size_t upstream : waits[block])
            waited_by[upstream].push_back(block);
    }
    std::vector<std::size_t> order;
    std::vector<bool> placed(labels_.size());
    while (!free.empty()) {
        const std::size_t block = *free.begin();
        free.erase(free.begin());
        order.push_back(block);
        placed[block] = true;
        for (const std::size_t waiting : waited_by[block]) {
            if (--missing[waiting] == 0) free.insert(waiting);
        }
    }
    for (std::size_t block = 0; block < placed.size(); ++block) {
        if (!placed[block]) order.push_back(block);
    }
    return order;
}

}  // namespace skywire::framework
