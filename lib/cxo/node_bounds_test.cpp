#include "cxo/raw_peer.hpp"

#include <stdexcept>

namespace skywire::cxo {
namespace {

using test::bytes_of;
using test::count;
using test::fill;
using test::keys_of;
using test::Party;
using test::PlainPair;
using test::quick;
using test::RawPeer;
using test::wait_live;
using namespace std::chrono_literals;

/// A publisher played by hand, and a copy that dials it.
struct Played {
    explicit Played(ManualClock* clock = nullptr)
        : loop(clock),
          listener(loop.context.network.listen(loop.context.loop, net::Address::tcp("127.0.0.1", 0))
                       .value()),
          follower(loop, "follower", Carrier::plain) {}
    void follow() {
        copy.emplace(
            loop.context,
            *follower.node,
            RemoteFeedOptions(keys.public_key, plain_route(loop.context, listener->local()))
        );
        copy->start();
    }
    RawPeer accept() { return {loop, loop.run(listener->accept()).value()}; }
    /// Until the copy's node has read so much.
    void wait_read(std::uint64_t bytes) {
        loop.run_until([&] { return count(loop, "cxo_bytes_total", "in", "direction") >= bytes; });
    }

    net::TestLoop loop;
    std::unique_ptr<net::Listener> listener;
    Party follower;
    crypto::KeyPair keys = keys_of("played");
    std::optional<RemoteFeed> copy;
};

TEST_CASE("node: behind its end a connection takes nothing more of what came with it") {
    Played played;
    Feed feed(played.loop.context, *played.follower.node, quick(played.follower.keys));
    REQUIRE(feed.put("a", bytes_of("1")));
    played.follow();
    RawPeer peer = played.accept();
    peer.send(Ack{played.keys.public_key}, peer.receive_a<Syn>().seq);
    const auto asked = peer.receive_a<Sub>().seq;
    // The refusal makes the follower hang up, in the middle of what was read.
    Bytes both = encode_frame({2, asked, Err{"no"}});
    for (const Bytes& more :
         {encode_frame({3, 0, Sub{played.follower.keys.public_key}}),
          encode_frame({4, 0, RequestPreview{played.follower.keys.public_key}}),
          encode_frame({5, 0, RequestObject{Hash{std::byte{1}}}})})
        both.insert(both.end(), more.begin(), more.end());
    peer.send_bytes(both);
    played.loop.run_until([&] {
        return count(played.loop, "cxo_ended_total", "subscription_refused") == 1 &&
               played.follower.node->status().dialled == 0;
    });
    CHECK(played.follower.node->subscribers(played.follower.keys.public_key) == 0);
    CHECK(played.follower.node->status().subscriptions == 0);
    CHECK(played.loop.metrics.counter("cxo_objects_unknown_total", "").value() == 0);
    CHECK(peer.ended());
    test::close(played.loop, *played.copy);
    // All who are entered for the feed are told of the next version.
    const auto versions = feed.state().versions;
    REQUIRE(feed.put("a", bytes_of("2")));
    played.loop.run_until([&] { return feed.state().versions > versions; });
    feed.set_allowed(std::set<crypto::PublicKey>());
    test::close(played.loop, feed);
}

TEST_CASE("node: a claimed NodeID from another place ends nobody's connection") {
    net::TestLoop loop;
    Party publisher(loop, "publisher", Carrier::plain);
    Party subscriber(loop, "subscriber", Carrier::plain);
    publisher.serve();
    Feed feed(loop.context, *publisher.node, quick(publisher.keys));
    REQUIRE(fill(feed, 10));
    RemoteFeed honest(
        loop.context, *subscriber.node, {publisher.keys.public_key, publisher.route()}
    );
    wait_live(loop, honest);
    auto [near, far] = net::make_pipe(loop.context.loop);
    REQUIRE(far->remote().host != "127.0.0.1");
    publisher.node->accept(std::move(far), Carrier::plain);
    RawPeer liar(loop, std::move(near));
    liar.shake_hands("subscriber");
    loop.run_until([&] { return publisher.node->status().handshakes == 0; });
    CHECK(publisher.node->status().accepted == 2);
    CHECK(loop.metrics.counter("cxo_evicted_total", "").value() == 0);
    CHECK(honest.state().connections == 1);
    CHECK(honest.state().live);
    liar.close();
    test::close(loop, honest);
    test::close(loop, feed);
}

TEST_CASE("node: who takes all places for handshakes and says nothing keeps nobody out") {
    for (const Carrier carrier : {Carrier::plain, Carrier::noise}) {
        INFO(carrier_name(carrier));
        net::TestLoop loop;
        NodeOptions options(keys_of("publisher"));
        options.handshakes_max = 3;
        Party publisher(loop, options, carrier);
        Party subscriber(loop, "subscriber", carrier);
        publisher.serve();
        Feed feed(loop.context, *publisher.node, quick(publisher.keys));
        REQUIRE(fill(feed, 10));
        std::vector<RawPeer> silent;
        silent.reserve(3);
        for (int i = 0; i < 3; ++i)
            silent.push_back(RawPeer::dial(loop, publisher));
        loop.run_until([&] { return publisher.node->status().handshakes == 3; });
        RemoteFeed honest(
            loop.context, *subscriber.node, {publisher.keys.public_key, publisher.route()}
        );
        wait_live(loop, honest);
        CHECK(honest.state().attempts == 1);
        CHECK(count(loop, "cxo_refused_total", "handshakes_max") == 1);
        CHECK(publisher.node->status().handshakes == 2);
        CHECK(silent.front().ended());
        for (RawPeer& peer : silent)
            peer.close();
        test::close(loop, honest);
        test::close(loop, feed);
    }
}

TEST_CASE("node: who has taken all places gives one to a peer that has none") {
    net::TestLoop loop;
    NodeOptions options(keys_of("publisher"));
    options.connections_max = 3;
    Party publisher(loop, options, Carrier::plain);
    publisher.serve();
    std::vector<RawPeer> many;
    for (int i = 0; i < 3; ++i) {
        many.push_back(RawPeer::dial(loop, publisher));
        many.back().shake_hands(fmt::format("one of many {}", i));
    }
    auto [near, far] = net::make_pipe(loop.context.loop);
    publisher.node->accept(std::move(far), Carrier::plain);
    RawPeer other(loop, std::move(near));
    other.shake_hands("other");
    CHECK(many.front().ended());
    CHECK(count(loop, "cxo_ended_total", "connections_max") == 1);
    CHECK(publisher.node->status().accepted == 3);
    other.close();
}

TEST_CASE_METHOD(
    PlainPair, "remote feed: a subscriber that throws ends its connection, and the feed is followed"
) {
    Feed feed(loop.context, *publisher.node, quick(publisher.keys));
    REQUIRE(fill(feed, 10));
    int updates = 0;
    const Subscription throws = copy->subscribe("", [&](const FeedUpdate&) {
        if (++updates == 2) throw std::runtime_error("a subscriber's");
    });
    wait_live(loop, *copy);
    REQUIRE(feed.put("a", bytes_of("1")));
    loop.run_until([&] { return count(loop, "cxo_ended_total", "exception") == 1; });
    wait_live(loop, *copy);
    REQUIRE(feed.put("a", bytes_of("2")));
    loop.run_until([&] { return updates == 3; });
    CHECK(copy->state().connections == 2);
    CHECK(loop.metrics.counter("cxo_exceptions_total", "").value() == 1);
    test::close(loop, feed);
}

TEST_CASE(
    "remote feed: what an earlier connection left is completed, but is not the publisher's word"
) {
    Played played;
    ObjectIndex index;
    const Tree one = Tree(index).apply({{"a", bytes_of("1")}}).value().tree;
    const Tree two = one.apply({{"b", bytes_of("2")}}).value().tree;
    const auto root_of = [&](const Tree& tree, std::uint64_t seq) {
        Root root;
        root.tree = tree.hash();
        root.feed = played.keys.public_key;
        root.nonce = 1;
        root.seq = seq;
        root.time = static_cast<std::int64_t>(1 + seq);
        root.previous = seq == 0 ? kNil : Hash{std::byte{1}};
        return sign(root, played.keys);
    };
    const auto send_objects = [&](RawPeer& peer, const Tree& tree) {
        for (std::vector<ObjectPtr> left{tree.root()}; !left.empty();) {
            const ObjectPtr object = std::move(left.back());
            left.pop_back();
            peer.send(ObjectBytes{object->bytes()});
            left.insert(left.end(), object->children().begin(), object->children().end());
        }
    };
    played.follow();
    RawPeer peer = played.accept();
    peer.accept_subscriber(played.keys.public_key);
    send_objects(peer, one);
    peer.send(root_of(one, 0));
    wait_live(played.loop, *played.copy);
    // One that is not completed, and behind it one of which everything is there.
    peer.send(root_of(two, 1));
    peer.send(root_of(one, 2));
    played.loop.run_until([&] {
        return count(played.loop, "cxo_roots_received_total", "waits", "verdict") == 1;
    });
    peer.close();
    played.loop.run_until([&] { return !played.copy->state().connected; });

    RawPeer again = played.accept();
    again.accept_subscriber(played.keys.public_key);
    send_objects(again, two);
    played.loop.run_until([&] { return played.copy->state().seq == 2; });
    CHECK_FALSE(played.copy->state().live);
    again.send(root_of(one, 2));
    wait_live(played.loop, *played.copy);
    again.close();
    test::close(played.loop, *played.copy);
}

TEST_CASE("remote feed: a publisher whose Roots nobody signed is hung up on after a few") {
    Played played;
    played.follow();
    RawPeer peer = played.accept();
    peer.accept_subscriber(played.keys.public_key);
    ObjectIndex index;
    Root root;
    root.feed = played.keys.public_key;
    root.tree = Tree(index).hash();
    root.nonce = 1;
    root.time = 1;
    const SignedRoot forged = sign(root, keys_of("liar"));
    Bytes flood;
    for (std::uint32_t i = 0; i < 10; ++i) {
        const Bytes frame = encode_frame({10 + i, 0, forged});
        flood.insert(flood.end(), frame.begin(), frame.end());
    }
    peer.send_bytes(std::move(flood));
    played.loop.run_until([&] {
        return count(played.loop, "cxo_ended_total", "bad_signature") == 1;
    });
    CHECK(count(played.loop, "cxo_roots_refused_total", "bad_signature") == 3);
    CHECK(played.copy->state().error.starts_with("a Root was refused"));
    CHECK(peer.ended());
    test::close(played.loop, *played.copy);
}

TEST_CASE("remote feed: a large leaf that comes slowly is waited for as long as it comes") {
    ManualClock clock;
    Played played(&clock);
    played.follow();
    RawPeer peer = played.accept();
    peer.accept_subscriber(played.keys.public_key);
    ObjectIndex index;
    std::vector<Change> changes;
    changes.push_back({"big", Bytes(1 << 20, std::byte{7})});
    const Tree tree = Tree(index).apply(std::move(changes)).value().tree;
    Root root;
    root.feed = played.keys.public_key;
    root.tree = tree.hash();
    root.nonce = 1;
    root.time = 1;
    peer.send(sign(root, played.keys));
    for (bool large = false; !large;) {
        const Frame asked = peer.receive_a<RequestObject>();
        const ObjectPtr object = index.find(std::get<RequestObject>(asked.message).hash);
        REQUIRE(object);
        large = object->bytes().size() > 1000;
        if (!large) {
            peer.send(ObjectBytes{object->bytes()}, asked.seq);
            continue;
        }
        const Bytes frame = encode_frame({99, asked.seq, ObjectBytes{object->bytes()}});
        // 160 s in all, a part each 10 s.
        const std::size_t part = frame.size() / 16 + 1;
        auto read = count(played.loop, "cxo_bytes_total", "in", "direction");
        for (std::size_t at = 0; at < frame.size(); at += part) {
            const std::size_t end = std::min(frame.size(), at + part);
            peer.send_bytes(Bytes(frame.begin() + long(at), frame.begin() + long(end)));
            played.wait_read(read += end - at);
            clock.advance(10s);
            played.loop.settle();
            REQUIRE(played.copy->state().connected);
        }
    }
    wait_live(played.loop, *played.copy);
    CHECK(played.copy->tree().get("big")->size() == 1 << 20);
    CHECK(played.copy->state().connections == 1);
    CHECK(played.copy->state().resubscribes == 0);
    peer.close();
    test::close(played.loop, *played.copy);
}

}  // namespace
}  // namespace skywire::cxo
