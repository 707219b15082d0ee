#pragma once

#include "crypto/keys.hpp"
#include "transport/entry.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

/// The transports of the network as a graph of visors: spec/services-http.md section 7. No I/O.
namespace skywire::route_finder {

using transport::TransportId;

/// What an unmeasured hop counts.
inline constexpr std::uint32_t kUnmeasuredLatencyUs = 500'000;
/// Larger figures count as this.
inline constexpr std::uint32_t kLatencyMaxUs = 60'000'000;

/// Visors and the transports between them. A change costs as much as its two visors have
/// transports. Transports that a set-up labelled are left out.
class Graph {
 public:
    using Node = std::uint32_t;

    /// One direction of a transport, as its edge `from` sees it.
    struct Link {
        TransportId id;
        Node to;
        std::uint32_t latency_us;
        /// Place in the order of preference of its type.
        std::uint8_t rank;
        /// The one to be used of those that join the same two visors. Never of a transport to
        /// oneself.
        bool preferred;
    };

    /// Adds the transport, or replaces the one with this id. No latency: nobody has measured it.
    void put(const transport::Entry& entry, std::optional<std::uint32_t> latency_us = {});
    /// False where there is none.
    bool erase(const TransportId& id);

    std::size_t transports() const noexcept { return ends_.size(); }
    std::size_t visors() const noexcept { return by_key_.size(); }

    /// A visor with at least one transport.
    std::optional<Node> find(const crypto::PublicKey& key) const;
    const crypto::PublicKey& key(Node node) const noexcept { return nodes_[node].key; }
    /// In order of the ids.
    std::span<const Link> links(Node node) const noexcept { return nodes_[node].links; }
    /// Above every Node that there is.
    std::size_t node_limit() const noexcept { return nodes_.size(); }

 private:
    struct Visor {
        crypto::PublicKey key;
        std::vector<Link> links;
    };
    struct Ends {
        Node a;
        Node b;
    };

    Node node_of(const crypto::PublicKey& key);
    void insert(Node from, const Link& link);
    void remove(Node from, const TransportId& id);
    void choose(Node from, Node to);
    void release(Node node);

    std::vector<Visor> nodes_;
    std::vector<Node> free_;
    boost::unordered_flat_map<crypto::PublicKey, Node, std::hash<crypto::PublicKey>> by_key_;
    boost::unordered_flat_map<TransportId, Ends, std::hash<TransportId>> ends_;
};

}  // namespace skywire::route_finder
