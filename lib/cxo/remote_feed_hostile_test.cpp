// What a publisher may not do: refused, counted, and nobody else's trouble.

#include "cxo/raw_peer.hpp"

#include <limits>
#include <set>

namespace skywire::cxo {
namespace {

using test::bytes_of;
using test::content_of;
using test::count;
using test::fill;
using test::Party;
using test::quick;
using test::RawPeer;
using test::wait_live;
using namespace std::chrono_literals;

/// A node that follows an honest publisher and one that is played by hand, both live.
struct Followed {
    Followed() {
        honest.serve();
        feed.emplace(loop.context, *honest.node, quick(honest.keys));
        REQUIRE(fill(*feed, 5));
        good.emplace(
            loop.context, *follower.node, RemoteFeedOptions(honest.keys.public_key, honest.route())
        );
        wait_live(loop, *good);
        RemoteFeedOptions options(keys.public_key, plain_route(loop.context, listener->local()));
        options.limits.objects_max = 1000;
        options.limits.bytes_max = 100'000;
        bad.emplace(loop.context, *follower.node, options);
        bad->start();
        accept();
        publish("1");
        wait_live(loop, *bad);
    }
    ~Followed() {
        peer->close();
        test::close(loop, *bad);
        test::close(loop, *good);
        test::close(loop, *feed);
    }
    Followed(const Followed&) = delete;
    Followed& operator=(const Followed&) = delete;

    void accept() {
        peer.emplace(loop, loop.run(listener->accept()).value());
        peer->accept_subscriber(keys.public_key);
    }
    Root next(const Hash& tree) {
        Root root;
        root.tree = tree;
        root.feed = keys.public_key;
        root.nonce = 1;
        root.seq = ++seq;
        root.time = static_cast<std::int64_t>(seq);
        root.previous = Hash{std::byte{1}};
        return root;
    }
    /// All of a tree, each object once.
    void send_objects(const ObjectPtr& root) {
        std::set<const Object*> sent;
        for (std::vector<ObjectPtr> left{root}; !left.empty();) {
            const ObjectPtr object = std::move(left.back());
            left.pop_back();
            if (!sent.insert(object.get()).second) continue;
            peer->send(ObjectBytes{object->bytes()});
            left.insert(left.end(), object->children().begin(), object->children().end());
        }
    }
    Tree tree_of(std::string_view value) {
        return Tree(index).apply({{"a", bytes_of(value)}}).value().tree;
    }
    void publish(std::string_view value) {
        // What was not asked for counts from the last Root.
        if (last) peer->send(*last);
        const Tree tree = tree_of(value);
        send_objects(tree.root());
        last = sign(next(tree.hash()), keys);
        peer->send(*last);
    }

    /// The copy is what it was, the other feed goes on, and so does this one when it behaves.
    void check_unharmed() {
        CHECK(content_of(bad->tree()) == test::Content{{"a", "1"}});
        REQUIRE(feed->put("more", bytes_of("x")));
        loop.run_until([&] { return good->tree().get("more").has_value(); });
        CHECK(good->state().live);
        CHECK(good->state().connections == 1);
        CHECK(good->state().counts.refused == 0);
        publish("2");
        loop.run_until([&] {
            return bad->state().live && content_of(bad->tree()) == test::Content{{"a", "2"}};
        });
    }

    net::TestLoop loop;
    Party honest{loop, "honest", Carrier::plain};
    Party follower{loop, "follower", Carrier::plain};
    std::unique_ptr<net::Listener> listener =
        loop.context.network.listen(loop.context.loop, net::Address::tcp("127.0.0.1", 0)).value();
    crypto::KeyPair keys = test::keys_of("played");
    std::optional<Feed> feed;
    std::optional<RemoteFeed> good;
    std::optional<RemoteFeed> bad;
    std::optional<RawPeer> peer;
    ObjectIndex index;
    std::optional<SignedRoot> last;
    std::uint64_t seq = 0;
};

ObjectPtr directory_of(ObjectIndex& index, const std::vector<ObjectPtr>& entries) {
    const auto size = static_cast<std::uint32_t>(entries.size());
    const ObjectPtr list = index.make(Kind::list, write_list(0, size, entries), entries);
    return index.make(Kind::node, write_node(list->hash()), {list});
}

ObjectPtr leaf_of(ObjectIndex& index, std::string_view name, std::string_view value) {
    return index.make(Kind::entry, write_entry(name, kNil, as_bytes(value)), {});
}

}  // namespace

TEST_CASE("remote feed: a live copy refuses Roots that are wrong, and others' go on") {
    Followed followed;
    const Tree lie = followed.tree_of("lie");
    followed.send_objects(lie.root());
    Root root = followed.next(lie.hash());
    std::string_view reason;
    SECTION("forged") {
        SignedRoot forged = sign(root, test::keys_of("liar"));
        forged.feed = followed.keys.public_key;
        followed.peer->send(forged);
        reason = "bad_signature";
    }
    SECTION("of another feed, filed under its own") {
        root.feed = followed.honest.keys.public_key;
        SignedRoot filed = sign(root, followed.keys);
        filed.feed = followed.keys.public_key;
        followed.peer->send(filed);
        reason = "forbidden";
    }
    SECTION("with another number than its message says") {
        SignedRoot renamed = sign(root, followed.keys);
        ++renamed.seq;
        followed.peer->send(renamed);
        reason = "malformed";
    }
    followed.loop.run_until([&] { return followed.bad->state().counts.refused == 1; });
    CHECK(count(followed.loop, "cxo_roots_refused_total", reason) == 1);
    CHECK(count(followed.loop, "cxo_roots_received_total", "refused", "verdict") == 1);
    CHECK(followed.bad->state().connections == 1);
    followed.check_unharmed();
}

TEST_CASE("remote feed: what a publisher says of another's feed does not reach that feed") {
    Followed followed;
    const Tree lie = followed.tree_of("lie");
    Root root = followed.next(lie.hash());
    root.feed = followed.honest.keys.public_key;
    root.seq = 1'000'000;
    root.time = std::numeric_limits<std::int64_t>::max();
    // Even where it is well signed.
    for (const crypto::KeyPair& keys : {followed.keys, followed.honest.keys}) {
        SignedRoot filed = sign(root, keys);
        filed.feed = followed.honest.keys.public_key;
        followed.peer->send(filed);
    }
    followed.loop.run_until([&] {
        return count(followed.loop, "cxo_link_events_total", "other_feed") == 2;
    });
    followed.check_unharmed();
}

TEST_CASE("remote feed: objects that are not what they are called are not taken") {
    Followed followed;
    followed.peer->send(sign(followed.next(followed.tree_of("lie").hash()), followed.keys));
    const auto asked = followed.peer->receive_a<RequestObject>().seq;
    const Tree other = followed.tree_of("another");
    followed.peer->send(ObjectBytes{other.root()->bytes()}, asked);
    followed.loop.run_until([&] {
        return count(followed.loop, "cxo_fills_failed_total", "no_object") == 1;
    });
    CHECK(count(followed.loop, "cxo_link_events_total", "wrong_object") == 1);
    CHECK_FALSE(followed.bad->state().live);
    CHECK(followed.bad->state().connections == 1);
    followed.check_unharmed();
}

TEST_CASE("remote feed: a tree that cannot be taken is given up and counted, whatever it is") {
    Followed followed;
    ObjectIndex& index = followed.index;
    ObjectPtr tree;
    std::string_view reason;
    SECTION("a few objects that say very many leaves") {
        tree = directory_of(index, {leaf_of(index, "x", "1")});
        for (int i = 0; i < 9; ++i) {
            std::vector<ObjectPtr> entries;
            for (char name = 'a'; name < 'q'; ++name) {
                Bytes bytes = write_entry(std::string(1, name), tree->hash(), {});
                entries.push_back(index.make(Kind::entry, std::move(bytes), {tree}));
            }
            tree = directory_of(index, entries);
        }
        reason = "limit";
    }
    SECTION("more bytes than a feed may have") {
        // Each object is small enough.
        std::vector<ObjectPtr> entries;
        for (char name = 'a'; name < 'e'; ++name)
            entries.push_back(leaf_of(index, std::string(1, name), std::string(30'000, name)));
        tree = directory_of(index, entries);
        reason = "limit";
    }
    SECTION("names out of order") {
        tree = directory_of(index, {leaf_of(index, "b", "1"), leaf_of(index, "a", "2")});
        reason = "malformed";
    }
    const Counter& failed = followed.loop.metrics.counter(
        "cxo_fills_failed_total", "", {{"reason", std::string(reason)}}
    );
    const Counter& requested = followed.loop.metrics.counter("cxo_objects_requested_total", "");
    std::uint64_t answered = requested.value();
    followed.peer->send(sign(followed.next(tree->hash()), followed.keys));
    while (true) {
        // It asks for more, or has seen enough.
        followed.loop.run_until([&] { return failed.value() > 0 || requested.value() > answered; });
        if (failed.value() > 0) break;
        ++answered;
        const Frame asked = followed.peer->receive_a<RequestObject>();
        const ObjectPtr object = index.find(std::get<RequestObject>(asked.message).hash);
        REQUIRE(object);
        followed.peer->send(ObjectBytes{object->bytes()}, asked.seq);
    }
    CHECK(failed.value() == 1);
    CHECK(followed.bad->state().connections == 1);
    followed.check_unharmed();
}

TEST_CASE("remote feed: a leaf that is larger than a feed may be ends that connection alone") {
    Followed followed;
    const Tree large = followed.tree_of(std::string(200'000, 'x'));
    const SignedRoot root = sign(followed.next(large.hash()), followed.keys);
    followed.peer->send(root);
    const auto ended = [&] { return count(followed.loop, "cxo_ended_total", "limit"); };
    while (ended() == 0) {
        const Frame asked = followed.peer->receive_a<RequestObject>();
        const ObjectPtr object = followed.index.find(std::get<RequestObject>(asked.message).hash);
        REQUIRE(object);
        const Bytes frame = encode_frame({1000, asked.seq, ObjectBytes{object->bytes()}});
        // Its head says enough.
        const std::size_t size = std::min<std::size_t>(frame.size(), 50'000);
        followed.peer->send_bytes(Bytes(frame.begin(), frame.begin() + long(size)));
        if (size < frame.size()) followed.loop.run_until([&] { return ended() == 1; });
    }
    CHECK(followed.peer->ended());
    followed.accept();
    followed.peer->send(root);
    // It is asked for once more; the publisher has got rid of it.
    followed.peer->send(Err{}, followed.peer->receive_a<RequestObject>().seq);
    followed.loop.run_until([&] {
        return count(followed.loop, "cxo_fills_failed_total", "no_object") == 1;
    });
    followed.check_unharmed();
    CHECK(followed.bad->state().connections == 2);
}

TEST_CASE("remote feed: a flood of unasked objects holds up nobody else") {
    Followed followed;
    Bytes junk(60'000);
    for (std::size_t i = 0; i < 50; ++i) {
        junk[i] = std::byte(i + 1);
        followed.peer->send(ObjectBytes{junk});
    }
    followed.loop.run_until([&] {
        return count(followed.loop, "cxo_link_events_total", "unasked_object") == 49;
    });
    CHECK(followed.follower.node->status().buffered_bytes < 500'000);
    CHECK(followed.bad->state().connections == 1);
    followed.check_unharmed();
}

}  // namespace skywire::cxo
