#include "services/route_finder/search.hpp"

#include <algorithm>
#include <limits>

namespace skywire::route_finder {
namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
static_assert(std::uint64_t{Bounds::kHopsLimit} * kLatencyMaxUs < kNone);

}  // namespace

Search::Answer Search::find(
    const Graph& graph,
    const crypto::PublicKey& from,
    const crypto::PublicKey& to,
    const Bounds& bounds
) {
    Answer answer;
    graph_ = &graph;
    expanded_ = 0;
    looked_at_ = 0;
    truncated_ = false;
    const auto begin = graph.find(from);
    const auto end = graph.find(to);
    if (!begin || !end) {
        answer.outcome = Outcome::no_route_to_destination;
        return answer;
    }
    Bounds cut = bounds;
    cut.hops_min = std::max(cut.hops_min, 1U);
    cut.hops_max = std::min(cut.hops_max, Bounds::kHopsLimit);
    cut.routes_max = std::clamp(cut.routes_max, 1U, Bounds::kRoutesLimit);
    if (*begin == *end) {
        out_and_back(*begin, cut, answer);
    } else {
        between(*begin, *end, cut, answer);
    }
    answer.truncated = truncated_;
    if (answer.routes.empty()) {
        answer.outcome =
            joined(*begin, *end) ? Outcome::route_not_found : Outcome::no_route_to_destination;
    }
    return answer;
}

void Search::out_and_back(Graph::Node node, const Bounds& bounds, Answer& answer) {
    if (bounds.hops_min > 2 || bounds.hops_max < 2) return;
    std::vector<const Graph::Link*> links;
    for (const Graph::Link& link : graph_->links(node))
        if (link.preferred) links.push_back(&link);
    const std::size_t count = std::min<std::size_t>(links.size(), bounds.routes_max);
    const auto better = [](const Graph::Link* a, const Graph::Link* b) {
        if (a->latency_us != b->latency_us) return a->latency_us < b->latency_us;
        return a->id < b->id;
    };
    std::partial_sort(
        links.begin(), links.begin() + static_cast<std::ptrdiff_t>(count), links.end(), better
    );
    answer.routes.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        const Graph::Link& link = *links[i];
        answer.routes.push_back({{link.id, node, link.to}, {link.id, link.to, node}});
    }
}

void Search::between(Graph::Node from, Graph::Node to, const Bounds& bounds, Answer& answer) {
    layers_made_ = 0;
    visited_.assign(graph_->node_limit(), 0);
    path_.clear();
    for (unsigned hops = 0; hops <= bounds.hops_max; ++hops) {
        add_layer(to);
        // A layer that reaches nobody has none behind it.
        if (reached_[hops].empty()) return;
        if (hops < bounds.hops_min || layers_[hops][from] == kNone) continue;
        candidates_.clear();
        wanted_ = bounds.routes_max - answer.routes.size();
        visited_[from] = 1;
        extend(from, hops, 0);
        visited_[from] = 0;
        for (Candidate& candidate : candidates_)
            answer.routes.push_back(std::move(candidate.hops));
        if (truncated_ || answer.routes.size() >= bounds.routes_max) return;
    }
}

void Search::add_layer(Graph::Node to) {
    const std::size_t hops = layers_made_++;
    if (layers_.size() <= hops) {
        layers_.emplace_back();
        reached_.emplace_back();
    }
    auto& layer = layers_[hops];
    auto& reached = reached_[hops];
    layer.assign(graph_->node_limit(), kNone);
    reached.clear();
    if (hops == 0) {
        layer[to] = 0;
        reached.push_back(to);
        return;
    }
    const auto& before = layers_[hops - 1];
    for (const Graph::Node node : reached_[hops - 1]) {
        for (const Graph::Link& link : graph_->links(node)) {
            if (!link.preferred || link.to == to) continue;
            std::uint32_t& least = layer[link.to];
            if (least == kNone) reached.push_back(link.to);
            least = std::min(least, before[node] + link.latency_us);
        }
    }
}

/// Depth first, and at each visor in order of the ids: among routes of equal latency the first one
/// found is the first one in order, and what cannot be better than the last one wanted is cut off.
void Search::extend(Graph::Node at, unsigned left, std::uint64_t latency_us) {
    if (left == 0) {
        offer(latency_us);
        return;
    }
    const auto& rest = layers_[left - 1];
    const auto links = graph_->links(at);
    looked_at_ += links.size();
    for (const Graph::Link& link : links) {
        if (!link.preferred || rest[link.to] == kNone || visited_[link.to] != 0) continue;
        const std::uint64_t so_far = latency_us + link.latency_us;
        const bool full = candidates_.size() >= wanted_;
        if (full && so_far + rest[link.to] >= candidates_.back().latency_us) continue;
        if (++expanded_ > limits_.expanded_max || looked_at_ > limits_.looked_at_max)
            truncated_ = true;
        if (truncated_) return;
        visited_[link.to] = 1;
        path_.push_back({link.id, at, link.to});
        extend(link.to, left - 1, so_far);
        path_.pop_back();
        visited_[link.to] = 0;
    }
}

void Search::offer(std::uint64_t latency_us) {
    const auto place = std::upper_bound(
        candidates_.begin(),
        candidates_.end(),
        latency_us,
        [](std::uint64_t latency, const Candidate& other) { return latency < other.latency_us; }
    );
    candidates_.insert(place, Candidate{latency_us, path_});
    if (candidates_.size() > wanted_) candidates_.pop_back();
}

bool Search::joined(Graph::Node from, Graph::Node to) {
    if (from == to) return true;
    visited_.assign(graph_->node_limit(), 0);
    visited_[from] = 1;
    std::vector<Graph::Node> open{from};
    while (!open.empty()) {
        const Graph::Node node = open.back();
        open.pop_back();
        for (const Graph::Link& link : graph_->links(node)) {
            if (link.to == to) return true;
            if (visited_[link.to] != 0) continue;
            visited_[link.to] = 1;
            open.push_back(link.to);
        }
    }
    return false;
}

}  // namespace skywire::route_finder
