#pragma once

#include "cxo/node.hpp"
#include "cxo/remote_feed.hpp"
#include "cxo/subscription.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace skywire::cxo {

struct AggregatorOptions {
    /// Whose feeds are wanted; nothing: everybody's.
    std::function<bool(const crypto::PublicKey&)> wanted;
    /// Feeds at one time; more publishers are not followed, and counted.
    std::size_t feeds_max = 10'000;
    /// Told of each feed's content at or below this.
    std::string prefix;
    /// Of one feed.
    ReplicaLimits limits;
    FollowTimes times;
    /// A copy without a connection is forgotten after so long (section 9 "Reverse-dial
    /// aggregation").
    Duration forget{std::chrono::minutes(4)};
};

/// Copies of the feeds of all who dial a node: visors announce themselves to a service by
/// connecting to it, and the service follows each one's feed through that connection (section 9
/// "Reverse-dial aggregation"). Only a peer that has proven the key of its feed is followed. One
/// loop.
class Aggregator {
 public:
    /// A publisher's update; its first one is the snapshot, also when it comes back after it was
    /// forgotten.
    using OnUpdate =
        std::function<void(const crypto::PublicKey& publisher, const FeedUpdate& update)>;
    /// A publisher is forgotten or dropped: what it said holds no more.
    using OnForgotten = std::function<void(const crypto::PublicKey& publisher)>;

    /// The node outlives it, and has one aggregator at most.
    Aggregator(
        const net::Context& context,
        Node& node,
        AggregatorOptions options,
        OnUpdate on_update,
        OnForgotten on_forgotten = {}
    );
    /// `close` has been awaited.
    ~Aggregator();
    Aggregator(const Aggregator&) = delete;
    Aggregator& operator=(const Aggregator&) = delete;

    struct Row {
        crypto::PublicKey publisher;
        bool connected = false;
        bool live = false;
        std::optional<Duration> age;
        /// Known, without a gap.
        SteadyTime since{};
        std::size_t leaves = 0;
        /// Held for it, at most: what it shares with others counts as its own.
        std::size_t bytes = 0;
        std::string error;
    };
    std::vector<Row> rows() const;
    std::size_t size() const noexcept;
    /// Null where there is no copy.
    const Tree* tree(const crypto::PublicKey& publisher) const;
    /// The copy is what its publisher, which is connected, last said.
    bool live(const crypto::PublicKey& publisher) const;
    /// Hangs up on a publisher and forgets it; it may come back. Not from inside an update of its
    /// own.
    void drop(const crypto::PublicKey& publisher);

    Task<std::vector<std::string>> close(SteadyTime deadline);

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::cxo
