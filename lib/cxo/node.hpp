#pragma once

#include "base/clock.hpp"
#include "crypto/keys.hpp"
#include "cxo/announcement.hpp"
#include "cxo/carrier.hpp"
#include "cxo/link.hpp"
#include "net/context.hpp"
#include "net/network.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace skywire::cxo {

struct NodeOptions {
    NodeOptions(crypto::KeyPair keys_in) : keys(std::move(keys_in)) {}

    /// The NodeID that we claim, and our key where the carrier authenticates.
    crypto::KeyPair keys;
    LinkLimits link;
    /// Accepted ones. Where all places are taken the oldest connection of the peer that has most
    /// gives way; where nobody has two the new one is hung up on. All are counted. (Those that we
    /// dial are our own business.)
    std::size_t connections_max = 10'000;
    /// Of these, those that have not said who they are: the oldest of the address that has most
    /// gives way.
    std::size_t handshakes_max = 1000;
    /// The same of one IP (of one key over dmsg), whose oldest gives way.
    std::size_t handshakes_per_address_max = 64;
    /// Of one IP where nothing is authenticated; more are hung up on.
    std::size_t connections_per_peer_max = 1024;
    /// Of one authenticated key, which need have no second one: at any time a few half-dead ones.
    std::size_t connections_per_key_max = 16;
    /// Accepted ones: for the carrier's own handshake, and once more for the peer's Syn.
    Duration handshake{std::chrono::seconds(10)};
    /// For a node that only takes feeds: accepted peers that nobody follows are refused, once they
    /// have said who they are, errc::forbidden.
    bool publishers_only = false;
    /// A peer that takes not a byte for so long, while there is something to say, is hung up on.
    Duration stall{std::chrono::minutes(2)};
};

/// The other end of a connection.
struct Peer {
    /// Who it says it is: a claim, unless it equals `key`.
    crypto::PublicKey node;
    /// Whom the carrier has proven; null over plain TCP.
    crypto::PublicKey key;
    net::Address address;
    /// It dialled us.
    bool accepted = false;

    /// May be believed to be the publisher of the feed `node`: it has proven that key (section 5,
    /// "NodeID is a claim").
    bool is_itself() const noexcept { return !key.is_null() && key == node; }
};

/// Where a node has a feed from that it serves. Lives until `withdraw`.
class FeedSource {
 public:
    virtual ~FeedSource() = default;
    virtual const crypto::PublicKey& feed() const noexcept = 0;
    /// Whether a peer may subscribe, judged by its proven key (null: none). The message of an error
    /// goes to the peer.
    virtual Result<> admit(const Peer& peer) = 0;
    /// What is published; null: nothing yet.
    virtual AnnouncementPtr last() const = 0;
};

class Follower;
struct NodeCounters;

/// The connections of one port, or of no port at all, on one event loop: accepts, dials, moves
/// bytes between streams and `Link`s, keeps time for them, and leads each to the feeds that are
/// published here and to who follows a feed through it. Where several loops serve one port each has
/// a node of its own; no lock anywhere.
///
/// - A peer that comes again, with the same NodeID and the same proven key (the same NodeID and IP
///   where nothing is proven), ends its earlier connection, which may be half-dead.
/// - Who subscribes is judged by the key that the carrier has proven. Without one only open feeds
///   are served.
/// - A slow subscriber waits for nobody and nobody waits for it: of each feed only the newest
///   version waits for its connection; one that takes nothing at all is hung up on after `stall`.
/// - All that is refused, dropped or repeated is counted: cxo_* of docs/metrics.md.
class Node {
 public:
    Node(const net::Context& context, NodeOptions options);
    /// `close` has been awaited, or nothing was begun.
    ~Node();
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    /// Accepts from the listener until `close`.
    void serve(std::unique_ptr<net::Listener> listener, Carrier carrier);
    /// A stream that somebody else has accepted.
    void accept(std::unique_ptr<net::Stream> stream, Carrier carrier);
    /// Where it listens.
    std::vector<net::Address> addresses() const;

    const crypto::PublicKey& key() const noexcept;
    /// Shared by all feeds and copies of this node: what is equal is held once.
    ObjectIndex& index() noexcept;
    /// Of all feeds and copies of this node.
    NodeCounters& counters() noexcept;

    // Publishing: what Feed does for its owner.
    /// One source a feed. It outlives its place here: `withdraw` it.
    void publish(FeedSource& source);
    void withdraw(const FeedSource& source);
    /// Tells all subscribers of the feed.
    void announce(const crypto::PublicKey& feed, const AnnouncementPtr& version);
    /// Judges all subscribers again, since who may has changed.
    void judge_again(const crypto::PublicKey& feed);
    std::size_t subscribers(const crypto::PublicKey& feed) const;

    // Following: what RemoteFeed and Aggregator do for theirs.
    struct Dialling {
        Route route;
        /// In place of the node's own.
        std::optional<crypto::KeyPair> keys;
        std::optional<LinkLimits> limits;
    };
    /// Dials, and attaches the follower, which is told what happens until `on_ended`; before an
    /// error it was told nothing. The route's `dial` and the carrier's
    /// handshake end at `deadline`. Cancelled: what was begun is gone.
    Task<Result<>> connect(Dialling dialling, Follower& follower, SteadyTime deadline);

    /// Asked for each accepted connection whose peer `is_itself`: who follows the feed of that
    /// peer through it. Null: nobody.
    using ChooseFollower = std::function<Follower*(const Peer&)>;
    void on_publisher(ChooseFollower choose);

    struct Status {
        /// With a finished handshake.
        std::size_t accepted = 0;
        std::size_t dialled = 0;
        std::size_t handshakes = 0;
        /// Pairs of a connection and a feed of ours.
        std::size_t subscriptions = 0;
        std::size_t feeds = 0;
        /// Buffers of all connections.
        std::size_t buffered_bytes = 0;
        std::size_t objects = 0;
        std::size_t object_bytes = 0;
        /// Of the last accept that failed; empty where it works.
        std::string trouble;
    };
    Status status() const;

    /// Stops listening, hangs up on everybody, waits. The names of what was late.
    Task<std::vector<std::string>> close(SteadyTime deadline);

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace skywire::cxo
