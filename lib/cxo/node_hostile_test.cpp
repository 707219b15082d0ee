#include "cxo/raw_peer.hpp"

namespace skywire::cxo {
namespace {

using test::bytes_of;
using test::content_of;
using test::count;
using test::fill;
using test::keys_of;
using test::Party;
using test::quick;
using test::RawPeer;
using test::wait_live;
using namespace std::chrono_literals;

/// A publisher with an honest subscriber, which is live at the end as at the start.
struct Rig {
    explicit Rig(NodeOptions options = NodeOptions(keys_of("publisher")))
        : publisher(loop, std::move(options), Carrier::plain) {
        publisher.serve();
        feed = std::make_unique<Feed>(loop.context, *publisher.node, quick(publisher.keys));
        REQUIRE(fill(*feed, 20));
        honest = std::make_unique<RemoteFeed>(
            loop.context,
            *subscriber.node,
            RemoteFeedOptions(publisher.keys.public_key, publisher.route())
        );
        wait_live(loop, *honest);
    }
    ~Rig() {
        REQUIRE(feed->put("last", bytes_of("word")));
        loop.run_until([&] { return honest->tree().get("last").has_value(); });
        CHECK(honest->state().connections == 1);
        test::close(loop, *honest);
        test::close(loop, *feed);
    }
    Rig(const Rig&) = delete;
    Rig& operator=(const Rig&) = delete;

    void wait_alone() {
        loop.run_until([&] {
            const auto status = publisher.node->status();
            return status.accepted == 1 && status.handshakes == 0;
        });
    }

    net::TestLoop loop;
    Party publisher;
    Party subscriber{loop, "subscriber", Carrier::plain};
    std::unique_ptr<Feed> feed;
    std::unique_ptr<RemoteFeed> honest;
};

TEST_CASE("node: garbage and what is out of place end the connection that sent it") {
    Rig rig;
    SECTION("before the handshake") {
        RawPeer peer = RawPeer::dial(rig.loop, rig.publisher);
        peer.send_bytes(bytes_of("GET / HTTP/1.1\r\nHost: here\r\n\r\n"));
        CHECK(peer.ended());
    }
    SECTION("another version") {
        RawPeer peer = RawPeer::dial(rig.loop, rig.publisher);
        peer.send(Syn{4, keys_of("stranger").public_key});
        const auto answer = peer.receive();
        REQUIRE(answer.has_value());
        CHECK(std::get<Err>(answer->message).text == "incompatible protocol version: 4, want 3");
        CHECK(peer.ended());
        CHECK(count(rig.loop, "cxo_refused_total", "unsupported") == 1);
    }
    SECTION("after it") {
        RawPeer peer = RawPeer::dial(rig.loop, rig.publisher);
        peer.shake_hands("stranger");
        peer.send_bytes(bytes_of(std::string("\0\0\0\x0a", 4) + "123456789012345"));
        CHECK(peer.ended());
    }
    SECTION("a second Syn") {
        RawPeer peer = RawPeer::dial(rig.loop, rig.publisher);
        peer.shake_hands("stranger");
        peer.send(Syn{kProtocolVersion, keys_of("stranger").public_key});
        CHECK(peer.ended());
        CHECK(count(rig.loop, "cxo_ended_total", "malformed") == 1);
    }
    rig.wait_alone();
}

TEST_CASE("node: a peer that goes in the middle of anything leaves nothing behind") {
    Rig rig;
    const Bytes syn = encode_frame({1, 0, Syn{kProtocolVersion, keys_of("stranger").public_key}});
    const Bytes sub = encode_frame({2, 0, Sub{rig.publisher.keys.public_key}});
    Bytes all = syn;
    all.insert(all.end(), sub.begin(), sub.end());
    for (std::size_t size = 0; size <= all.size(); size += 7) {
        RawPeer peer = RawPeer::dial(rig.loop, rig.publisher);
        if (size > 0) peer.send_bytes(Bytes(all.begin(), all.begin() + long(size)));
        peer.close();
    }
    rig.wait_alone();
    CHECK(rig.feed->state().subscribers == 1);
}

TEST_CASE("node: who asks and reads nothing is cut off at a limit, and holds up nobody") {
    Rig rig;
    const Bytes big(200'000);
    REQUIRE(rig.feed->put("big", Bytes(big)));
    Hash hash = kNil;
    rig.loop.run_until([&] { return rig.honest->tree().get("big").has_value(); });
    for (const auto& entry : rig.feed->tree().root()->children().front()->children()) {
        const auto view = read_entry(entry->bytes());
        if (view && view->name == "big") hash = entry->hash();
    }
    REQUIRE(hash != kNil);
    RawPeer peer = RawPeer::dial(rig.loop, rig.publisher);
    peer.shake_hands("stranger");
    Bytes flood;
    for (std::uint32_t i = 0; i < 20'000; ++i) {
        const Bytes request = encode_frame({2 + i, 0, RequestObject{hash}});
        flood.insert(flood.end(), request.begin(), request.end());
    }
    peer.send_bytes(std::move(flood));
    rig.wait_alone();
    CHECK(count(rig.loop, "cxo_ended_total", "limit") == 1);
}

TEST_CASE("node: objects that nobody has are denied at once, previews of closed feeds, too") {
    Rig rig;
    RawPeer peer = RawPeer::dial(rig.loop, rig.publisher);
    peer.shake_hands("stranger");
    const auto request = peer.send(RequestObject{Hash{std::byte{1}}});
    CHECK(peer.receive_a<Err>().rseq == request);
    const auto open = peer.send(RequestPreview{rig.publisher.keys.public_key});
    CHECK(peer.receive_a<SignedRoot>().rseq == open);
    rig.feed->set_allowed(std::set<crypto::PublicKey>());
    peer.send(RequestPreview{rig.publisher.keys.public_key});
    CHECK(std::get<Err>(peer.receive_a<Err>().message).text == "no such feed");
    rig.feed->set_allowed(std::nullopt);
    peer.close();
    rig.wait_alone();
    // Its subscription went with the other allow-list, and comes again with a new connection.
    rig.publisher.node->judge_again(rig.publisher.keys.public_key);
    test::close(rig.loop, *rig.honest);
    rig.honest = std::make_unique<RemoteFeed>(
        rig.loop.context,
        *rig.subscriber.node,
        RemoteFeedOptions(rig.publisher.keys.public_key, rig.publisher.route())
    );
    wait_live(rig.loop, *rig.honest);
}

/// Publishes what it is given, signed by whomever.
class FalseSource final : public FeedSource {
 public:
    FalseSource(Node& node, const crypto::PublicKey& feed, AnnouncementPtr version)
        : node_(node), feed_(feed), version_(std::move(version)) {
        node_.publish(*this);
    }
    ~FalseSource() override { node_.withdraw(*this); }
    FalseSource(const FalseSource&) = delete;
    FalseSource& operator=(const FalseSource&) = delete;

    const crypto::PublicKey& feed() const noexcept override { return feed_; }
    Result<> admit(const Peer&) override { return {}; }
    AnnouncementPtr last() const override { return version_; }

 private:
    Node& node_;
    crypto::PublicKey feed_;
    AnnouncementPtr version_;
};

AnnouncementPtr announcement(SignedRoot root, const Tree& tree) {
    Bytes message = encode_message(root);
    return std::make_shared<Announcement>(
        Announcement{std::move(root), std::move(message), tree, {}, 0}
    );
}

TEST_CASE("remote feed: Roots that are forged, or filed under another feed, are refused") {
    net::TestLoop loop;
    Party liar(loop, "liar", Carrier::plain);
    Party subscriber(loop, "subscriber", Carrier::plain);
    liar.serve();
    const auto victim = keys_of("victim");
    std::vector<Change> changes;
    changes.push_back({"a", bytes_of("lie")});
    const Tree tree = Tree(liar.node->index()).apply(std::move(changes)).value().tree;
    Root root;
    root.tree = tree.hash();
    root.feed = victim.public_key;
    root.nonce = 1;
    root.time = 1;
    std::string_view reason;
    SignedRoot signed_root;
    SECTION("signed by another") {
        signed_root = sign(root, keys_of("liar"));
        signed_root.feed = victim.public_key;
        reason = "bad_signature";
    }
    SECTION("one byte changed") {
        signed_root = sign(root, victim);
        signed_root.value[100] ^= std::byte{1};
    }
    SECTION("of another feed") {
        root.feed = keys_of("liar").public_key;
        signed_root = sign(root, victim);
        signed_root.feed = victim.public_key;
        reason = "forbidden";
    }
    SECTION("with another number than it says") {
        signed_root = sign(root, victim);
        signed_root.seq = 7;
        reason = "malformed";
    }
    const FalseSource source(*liar.node, victim.public_key, announcement(signed_root, tree));
    RemoteFeed copy(loop.context, *subscriber.node, {victim.public_key, liar.route()});
    copy.start();
    loop.run_until([&] { return copy.state().counts.refused > 0; });
    if (!reason.empty()) CHECK(count(loop, "cxo_roots_refused_total", reason) >= 1);
    CHECK(copy.state().error.starts_with("a Root was refused"));
    CHECK_FALSE(copy.state().live);
    CHECK(copy.tree().empty());
    test::close(loop, copy);
}

TEST_CASE("remote feed: a flood of unasked objects is dropped and counted, the feed is followed") {
    net::TestLoop loop;
    Party subscriber(loop, "subscriber", Carrier::plain);
    const auto listener =
        loop.context.network.listen(loop.context.loop, net::Address::tcp("127.0.0.1", 0)).value();
    const auto keys = keys_of("flooder");
    RemoteFeed copy(
        loop.context,
        *subscriber.node,
        {keys.public_key, plain_route(loop.context, listener->local())}
    );
    copy.start();
    RawPeer peer(loop, loop.run(listener->accept()).value());
    const auto syn = peer.receive_a<Syn>().seq;
    peer.send(Ack{keys.public_key}, syn);
    const auto sub = peer.receive_a<Sub>().seq;
    peer.send(Ok{}, sub);
    Bytes junk(60'000);
    for (std::size_t i = 0; i < 100; ++i) {
        junk[i] = std::byte(i + 1);
        peer.send(ObjectBytes{junk});
    }
    loop.run_until([&] { return count(loop, "cxo_link_events_total", "unasked_object") > 50; });
    CHECK(subscriber.node->status().buffered_bytes < 1'000'000);

    ObjectIndex index;
    Root root;
    root.tree = Tree(index).hash();
    root.feed = keys.public_key;
    root.nonce = 1;
    root.time = 1;
    peer.send(sign(root, keys));
    wait_live(loop, copy);
    CHECK(copy.tree().empty());
    peer.close();
    test::close(loop, copy);
}

TEST_CASE("remote feed: a publisher that lacks what its Root names is asked again") {
    net::TestLoop loop;
    Party liar(loop, "liar", Carrier::plain);
    Party subscriber(loop, "subscriber", Carrier::plain);
    liar.serve();
    Root root;
    root.tree = Hash{std::byte{9}};
    root.feed = liar.keys.public_key;
    root.nonce = 1;
    root.time = 1;
    const Tree empty(liar.node->index());
    auto source = std::make_unique<FalseSource>(
        *liar.node, liar.keys.public_key, announcement(sign(root, liar.keys), empty)
    );
    RemoteFeed copy(loop.context, *subscriber.node, {liar.keys.public_key, liar.route()});
    copy.start();
    loop.run_until([&] { return copy.state().resubscribes >= 2; });
    CHECK(count(loop, "cxo_fills_failed_total", "no_object") >= 2);
    CHECK(copy.state().connections == 1);
    source.reset();
    Feed feed(loop.context, *liar.node, quick(liar.keys));
    REQUIRE(fill(feed, 3));
    wait_live(loop, copy);
    CHECK(copy.tree().count() == 3);
    test::close(loop, copy);
    test::close(loop, feed);
}

TEST_CASE(
    "aggregator: a NodeID that is not the proven key makes no publisher, and ends nobody's place"
) {
    net::TestLoop loop;
    Party service(loop, "service", Carrier::noise);
    Party visor(loop, "visor", Carrier::noise);
    service.serve();
    Feed own(loop.context, *service.node, quick(service.keys));
    own.publish_even_if_empty();
    test::Content told;
    Aggregator aggregator(
        loop.context,
        *service.node,
        {},
        [&](const crypto::PublicKey& key, const FeedUpdate& update) {
            told[key.to_text()] = content_of(update.tree).at("tp-list");
        }
    );
    Feed feed(loop.context, *visor.node, quick(visor.keys));
    REQUIRE(feed.put("tp-list", bytes_of("true")));
    RemoteFeed announcing(loop.context, *visor.node, {service.keys.public_key, service.route()});
    wait_live(loop, announcing);
    const test::Content truth{{visor.keys.public_key.to_text(), "true"}};
    loop.run_until([&] { return told == truth; });

    auto dialled = loop.context.network.dial(loop.context.loop, *service.address);
    auto carried = loop.run(carry(
        loop.context,
        Carrier::noise,
        noise::Role::initiator,
        keys_of("liar"),
        loop.run(std::move(dialled)).value(),
        loop.context.clock.now() + 10s
    ));
    REQUIRE(carried);
    RawPeer liar(loop, std::move(carried->stream));
    liar.shake_hands("visor");
    // Whoever it is, it may read.
    liar.send(Sub{service.keys.public_key});
    liar.receive_a<SignedRoot>();
    CHECK(aggregator.size() == 1);
    CHECK(told == truth);
    CHECK(announcing.state().connections == 1);
    CHECK(service.node->status().accepted == 2);
    liar.close();
    test::close(loop, announcing);
    test::close(loop, aggregator);
    test::close(loop, feed);
    test::close(loop, own);
}

TEST_CASE("node: who is silent is hung up on, before the handshake and after it") {
    ManualClock clock;
    net::TestLoop loop(&clock);
    Party publisher(loop, "publisher", Carrier::plain);
    publisher.serve();
    RawPeer mute = RawPeer::dial(loop, publisher);
    RawPeer idle = RawPeer::dial(loop, publisher);
    idle.shake_hands("idle");
    loop.run_until([&] {
        const auto status = publisher.node->status();
        return status.handshakes == 1 && status.accepted == 1;
    });
    clock.advance(60s);
    loop.run_until([&] { return publisher.node->status().handshakes == 0; });
    CHECK(count(loop, "cxo_refused_total", "timed_out") == 1);
    CHECK(publisher.node->status().accepted == 1);
    clock.advance(31s);
    loop.run_until([&] { return publisher.node->status().accepted == 0; });
    CHECK(count(loop, "cxo_ended_total", "timed_out") == 1);
    CHECK(mute.ended());
    CHECK(idle.ended());
}

TEST_CASE("node: a subscriber that takes nothing is hung up on after its time") {
    ManualClock clock;
    net::TestLoop loop(&clock);
    Party publisher(loop, "publisher", Carrier::plain);
    publisher.serve();
    auto [near, far] = net::make_pipe(loop.context.loop, 1000);
    publisher.node->accept(std::move(far), Carrier::plain);
    RawPeer peer(loop, std::move(near));
    peer.shake_hands("slow");
    Feed feed(loop.context, *publisher.node, quick(publisher.keys));
    REQUIRE(feed.put("big", Bytes(100'000)));
    peer.send(Sub{publisher.keys.public_key});
    peer.receive_a<Ok>();
    loop.run_until([&] { return feed.state().subscribers == 1; });
    Hash entry = feed.tree().root()->children().front()->children().front()->hash();
    for (int i = 0; i < 150; ++i) {
        // It speaks, and does not listen.
        if (i % 30 == 0) peer.send(RequestObject{entry});
        clock.advance(1s);
        loop.settle();
    }
    CHECK(publisher.node->status().accepted == 0);
    CHECK(count(loop, "cxo_ended_total", "stalled") == 1);
    test::close(loop, feed);
}

}  // namespace
}  // namespace skywire::cxo
