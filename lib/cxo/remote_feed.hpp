#pragma once

#include "cxo/node.hpp"
#include "cxo/replica.hpp"
#include "cxo/subscription.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace skywire::cxo {

/// How a copy is kept live.
struct FollowTimes {
    /// For the dial and the carrier's handshake.
    Duration attach{std::chrono::seconds(4)};
    /// The same over dmsg, where a session with a server may have to be made first.
    Duration attach_dmsg{std::chrono::seconds(12)};
    /// Between the starts of two attempts: the first, doubling up to the last, up to a fifth less
    /// by chance. Many who lost one publisher do not come back together.
    Duration retry_min{std::chrono::milliseconds(250)};
    Duration retry_max{std::chrono::seconds(4)};
    /// The same where the publisher refuses us in words.
    Duration refused_max{std::chrono::seconds(30)};
    /// Up and without a whole Root for so long: asked for once more, and a quarter of it later the
    /// connection is made anew.
    Duration no_root{std::chrono::seconds(60)};
    /// Sign of life, and how long none is believed in: a publisher that died in silence is noticed
    /// in this time, not in the network's 90 s.
    Duration keep_alive{std::chrono::seconds(5)};
    Duration idle{std::chrono::seconds(15)};
};

struct RemoteFeedOptions {
    RemoteFeedOptions(const crypto::PublicKey& feed_in, Route route_in)
        : feed(feed_in), route(std::move(route_in)) {}

    /// The publisher's key.
    crypto::PublicKey feed;
    Route route;
    /// Who we are to the publisher, where it is not the node. At one node of a publisher each key
    /// has one connection: a second follower with the same key ends the first one's.
    std::optional<crypto::KeyPair> keys;
    /// Where the carrier proves a key it must be the feed's, and the NodeID too. Off: others may
    /// pass the feed on; its Roots are signed in any case.
    bool publisher_only = true;
    ReplicaLimits limits;
    FollowTimes times;
};

/// A copy of somebody else's feed, kept equal to it as long as it is open: dials, subscribes,
/// fetches what it lacks, and comes back within 5 s of either side's return, whatever the other
/// side has lost meanwhile (spec/cxo.md section 6 rule 2), its clock's hours too where the carrier
/// proves who it is. While nobody is there the copy stays
/// what it was, and `state` tells its age. One loop.
class RemoteFeed {
 public:
    /// The node outlives it; it need not listen. Nothing happens before `start` or
    /// `connect_and_wait_for_root`.
    RemoteFeed(const net::Context& context, Node& node, RemoteFeedOptions options);
    /// `close` has been awaited, or it was never started.
    ~RemoteFeed();
    RemoteFeed(const RemoteFeed&) = delete;
    RemoteFeed& operator=(const RemoteFeed&) = delete;

    const crypto::PublicKey& key() const noexcept;

    /// Follows the feed from now on. Idempotent.
    void start();

    /// The same, and returns once the copy is live: connected, subscribed, and complete as the
    /// publisher has told it on this very connection (an empty feed counts). A pause between two
    /// attempts is cut short. errc::timed_out with what the last attempt ended with; the feed goes
    /// on being followed all the same. errc::closed, errc::cancelled.
    Task<Result<>> connect_and_wait_for_root(SteadyTime deadline);

    /// The last whole version, empty before the first: of what age, tells `state`.
    const Tree& tree() const noexcept;
    /// Nothing before the first whole version.
    const std::optional<Root>& root() const noexcept;

    /// A snapshot (at once where there is a copy), then changes, across all connections: what
    /// changed while nobody was there comes as one update.
    Subscription subscribe(std::string prefix, OnFeedUpdate on_update);

    struct State {
        crypto::PublicKey feed;
        std::string route;
        /// The handshake is done.
        bool connected = false;
        /// The copy is what the publisher last said on this connection.
        bool live = false;
        /// Since the publisher last said that this is what it has; nothing: there is no copy.
        std::optional<Duration> age;
        std::size_t leaves = 0;
        std::uint64_t nonce = 0;
        std::uint64_t seq = 0;
        /// Why it is not live, or was not the last time.
        std::string error;
        std::uint64_t attempts = 0;
        std::uint64_t connections = 0;
        /// Subscribed once more on a connection, for a fill that broke or a Root that did not come.
        std::uint64_t resubscribes = 0;
        /// Publishers that came back with lost state.
        std::uint64_t restarts = 0;
        Replica::Counts counts;
    };
    State state() const;

    /// The names of what was late.
    Task<std::vector<std::string>> close(SteadyTime deadline);

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::cxo
