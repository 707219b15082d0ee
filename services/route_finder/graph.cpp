#include "services/route_finder/graph.hpp"

#include <algorithm>
#include <array>

namespace skywire::route_finder {
namespace {

/// Preferred first; types that nobody here knows come behind all others.
constexpr std::array kTypes{
    transport::kStcpr,
    transport::kSquicr,
    transport::kSudph,
    transport::kStcp,
    transport::kWebrtc,
    transport::kWs,
    transport::kWt,
    transport::kDmsg,
};

std::uint8_t rank_of(std::string_view type) {
    const auto found = std::find(kTypes.begin(), kTypes.end(), type);
    return static_cast<std::uint8_t>(found - kTypes.begin());
}

bool id_below(const Graph::Link& link, const TransportId& id) {
    return link.id < id;
}

}  // namespace

void Graph::put(const transport::Entry& entry, std::optional<std::uint32_t> latency_us) {
    erase(entry.id);
    if (entry.label == transport::kLabelSetup) return;
    if (entry.edges[0].is_null() || entry.edges[1].is_null()) return;
    const Node a = node_of(entry.edges[0]);
    const Node b = node_of(entry.edges[1]);
    Link link{};
    link.id = entry.id;
    link.latency_us = std::min(latency_us.value_or(kUnmeasuredLatencyUs), kLatencyMaxUs);
    link.rank = rank_of(entry.type);
    link.to = b;
    insert(a, link);
    if (a != b) {
        link.to = a;
        insert(b, link);
        choose(a, b);
        choose(b, a);
    }
    ends_[entry.id] = {a, b};
}

bool Graph::erase(const TransportId& id) {
    const auto found = ends_.find(id);
    if (found == ends_.end()) return false;
    const auto [a, b] = found->second;
    ends_.erase(found);
    remove(a, id);
    if (a != b) {
        remove(b, id);
        choose(a, b);
        choose(b, a);
        release(b);
    }
    release(a);
    return true;
}

std::optional<Graph::Node> Graph::find(const crypto::PublicKey& key) const {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return std::nullopt;
    return found->second;
}

Graph::Node Graph::node_of(const crypto::PublicKey& key) {
    const auto [place, added] = by_key_.try_emplace(key, Node{0});
    if (!added) return place->second;
    if (free_.empty()) {
        place->second = static_cast<Node>(nodes_.size());
        nodes_.emplace_back();
    } else {
        place->second = free_.back();
        free_.pop_back();
    }
    nodes_[place->second].key = key;
    return place->second;
}

void Graph::insert(Node from, const Link& link) {
    auto& links = nodes_[from].links;
    links.insert(std::lower_bound(links.begin(), links.end(), link.id, id_below), link);
}

void Graph::remove(Node from, const TransportId& id) {
    auto& links = nodes_[from].links;
    const auto place = std::lower_bound(links.begin(), links.end(), id, id_below);
    if (place != links.end() && place->id == id) links.erase(place);
}

void Graph::choose(Node from, Node to) {
    Link* best = nullptr;
    for (Link& link : nodes_[from].links) {
        if (link.to != to) continue;
        link.preferred = false;
        if (best == nullptr || link.rank < best->rank) best = &link;
    }
    if (best != nullptr) best->preferred = true;
}

void Graph::release(Node node) {
    Visor& visor = nodes_[node];
    if (!visor.links.empty()) return;
    by_key_.erase(visor.key);
    visor = {};
    free_.push_back(node);
}

}  // namespace skywire::route_finder
