// The rules of a connection, one by one: handshake, publisher, signs of life.

#include "cxo/link_rig.hpp"

namespace skywire::cxo::test {
namespace {

std::string text_of(const Message& message) {
    return std::get<Err>(message).text;
}

Bytes raw(std::uint32_t length, ByteSpan rest) {
    Bytes bytes;
    for (int shift = 24; shift >= 0; shift -= 8)
        bytes.push_back(static_cast<std::byte>(length >> shift));
    bytes.insert(bytes.end(), rest.begin(), rest.end());
    return bytes;
}

}  // namespace

TEST_CASE("cxo link: a dialer of another version is told so, and the link ends") {
    Acceptor rig;
    const auto done = rig.try_say(Syn{4, rig.peer.public_key});
    REQUIRE(done.error() == errc::unsupported);
    const auto frames = rig.frames();
    REQUIRE(frames.size() == 1);
    REQUIRE(frames[0].rseq == 1);
    REQUIRE(text_of(frames[0].message) == "incompatible protocol version: 4, want 3");
    REQUIRE_FALSE(rig.link->established());
    REQUIRE(rig.try_say(Syn{3, rig.peer.public_key}).error() == errc::unsupported);
    REQUIRE(rig.link->next_time() == SteadyTime::max());
}

TEST_CASE("cxo link: an owner that does not want the peer tells a dialer why") {
    Acceptor rig;
    rig.refuse_peer = true;
    REQUIRE(rig.try_say(Syn{3, rig.peer.public_key}).error() == errc::forbidden);
    const auto frames = rig.frames();
    REQUIRE(frames.size() == 1);
    REQUIRE(text_of(frames[0].message) == "not you");
}

TEST_CASE("cxo link: a dialer that is refused ends with the peer's words") {
    Dialer rig;
    REQUIRE(rig.said() == "3");
    const auto done = rig.feed(Frame{1, 1, Err{"go\naway"}});
    REQUIRE(done.error() == errc::closed);
    REQUIRE(done.error().context() == "the peer said \"go\\x0aaway\"");
    REQUIRE_FALSE(rig.link->has_output());
}

TEST_CASE("cxo link: only a Syn begins, and only an answer to it goes on") {
    Acceptor acceptor;
    REQUIRE(acceptor.try_say(RequestList{}).error() == errc::malformed);
    Dialer silent;
    // Before our Syn is written nothing answers it.
    REQUIRE(silent.feed(Frame{1, 1, Ack{silent.peer.public_key}}).error() == errc::malformed);
    Dialer other;
    other.said();
    REQUIRE(other.feed(Frame{1, 2, Ack{other.peer.public_key}}).error() == errc::malformed);
    Acceptor twice;
    twice.shake();
    REQUIRE(twice.try_say(Syn{3, twice.peer.public_key}).error() == errc::malformed);
}

TEST_CASE("cxo link: a handshake has its time") {
    Acceptor rig;
    REQUIRE(rig.link->next_time() == rig.now + 59s);
    REQUIRE(rig.pass(58s));
    REQUIRE(rig.pass(1s).error() == errc::timed_out);
}

TEST_CASE("cxo link: frames that cannot be") {
    Acceptor rig;
    // Before the handshake nobody needs a long one.
    REQUIRE(rig.feed(raw(1025, {})).error() == errc::limit_reached);
    REQUIRE(rig.link->memory() < 4096);
    Acceptor empty;
    REQUIRE(empty.feed(raw(0, {})).error() == errc::malformed);
    Acceptor headless;
    REQUIRE(headless.feed(raw(8, {})).error() == errc::malformed);
    Acceptor large;
    large.shake();
    REQUIRE(large.feed(raw(kFrameMax + 1, {})).error() == errc::limit_reached);
    Acceptor unknown;
    unknown.shake();
    Bytes head(9);
    head[8] = std::byte{17};
    REQUIRE(unknown.feed(raw(9, head)).error() == errc::unsupported);
    Acceptor longer;
    longer.shake();
    Bytes trailing = encode_frame(Frame{2, 0, RequestList{}});
    trailing.push_back(std::byte{0});
    trailing[3] = static_cast<std::byte>(trailing.size() - 4);
    REQUIRE(longer.feed(trailing).error() == errc::malformed);
    Acceptor blank;
    blank.shake();
    REQUIRE(blank.try_say(Sub{crypto::PublicKey()}).error() == errc::malformed);
}

TEST_CASE("cxo link: a List is answered, with or without one") {
    Acceptor rig;
    rig.shake();
    rig.say(RequestList{});
    auto frames = rig.frames();
    REQUIRE(frames.size() == 1);
    REQUIRE(frames[0].rseq == 2);
    REQUIRE(text_of(frames[0].message) == "not a public server");
    rig.listed = std::vector{rig.feed_key, rig.peer.public_key};
    rig.say(RequestList{});
    frames = rig.frames();
    REQUIRE(frames[0].rseq == 3);
    REQUIRE(std::get<List>(frames[0].message).feeds == *rig.listed);
}

TEST_CASE("cxo link: objects are answered at once, those that are not here too") {
    Acceptor rig;
    rig.shake();
    const Tree tree = tree_of(rig.index, {{"a", "1"}});
    rig.say(RequestObject{tree.hash()});
    rig.say(RequestObject{crypto::sha256(as_bytes("nothing"))});
    rig.say(RequestObject{registry_hash()});
    const auto frames = rig.frames();
    REQUIRE(frames.size() == 3);
    REQUIRE(frames[0].rseq == 2);
    REQUIRE(crypto::sha256(std::get<ObjectBytes>(frames[0].message).bytes) == tree.hash());
    REQUIRE(frames[1].rseq == 3);
    REQUIRE(text_of(frames[1].message).empty());
    REQUIRE(frames[2].rseq == 4);
    REQUIRE(text_of(std::get<ObjectBytes>(frames[2].message).bytes) == text_of(registry()));
    REQUIRE(rig.counts["unknown_object"] == 1);
}

TEST_CASE("cxo link: a preview is a Root without a subscription") {
    Acceptor rig;
    rig.shake();
    rig.say(RequestPreview{rig.feed_key});
    auto frames = rig.frames();
    REQUIRE(text_of(frames[0].message) == "no such feed");
    const auto version = rig.version({{"a", "1"}});
    rig.publish(version);
    rig.say(RequestPreview{rig.feed_key});
    frames = rig.frames();
    REQUIRE(frames[0].rseq == 3);
    REQUIRE(std::get<SignedRoot>(frames[0].message) == version->root);
    REQUIRE_FALSE(rig.link->has_subscriber(rig.feed_key));
}

TEST_CASE("cxo link: the first Root comes a while after Ok, and once more where nothing is asked") {
    Acceptor rig;
    rig.shake();
    rig.publish(rig.version({{"a", "1"}}));
    rig.say(Sub{rig.feed_key});
    REQUIRE(rig.said() == "2:5");
    REQUIRE(rig.link->next_time() == rig.now + 150ms);
    REQUIRE(rig.pass(149ms));
    REQUIRE(rig.said().empty());
    REQUIRE(rig.pass(1ms));
    REQUIRE(rig.said() == "11");
    REQUIRE(rig.pass(1s));
    REQUIRE(rig.said() == "11");
    REQUIRE(rig.counts["root_again"] == 1);
    REQUIRE(rig.pass(1s));
    REQUIRE(rig.said().empty());
}

TEST_CASE("cxo link: a Root of the subscription before is not the first of the new one") {
    Acceptor rig;
    rig.shake();
    rig.publish(rig.version({{"a", "1"}}));
    rig.say(Sub{rig.feed_key});
    rig.said();
    REQUIRE(rig.pass(150ms));
    REQUIRE_FALSE(rig.link->gather(rig.now).empty());
    rig.say(Sub{rig.feed_key});
    rig.link->wrote(rig.now);
    // The Ok takes longer than what a Root waits for.
    REQUIRE_FALSE(rig.link->gather(rig.now).empty());
    REQUIRE(rig.pass(2s));
    rig.link->wrote(rig.now);
    REQUIRE(rig.pass(150ms));
    REQUIRE(rig.said() == "11");
    REQUIRE(rig.pass(1s));
    REQUIRE(rig.said() == "11");
    REQUIRE(rig.counts["root_again"] == 1);
}

TEST_CASE("cxo link: the first Root is not repeated to who has begun with it") {
    Acceptor rig;
    rig.shake();
    const auto version = rig.version({{"a", "1"}});
    rig.publish(version);
    rig.say(Sub{rig.feed_key});
    rig.said();
    REQUIRE(rig.pass(150ms));
    REQUIRE(rig.said() == "11");
    rig.say(RequestObject{version->tree.hash()});
    REQUIRE(rig.said() == "3:13");
    REQUIRE(rig.pass(10s));
    REQUIRE(rig.said().empty());
}

TEST_CASE("cxo link: a Sub again is answered with Ok and the Root again") {
    Acceptor rig;
    rig.shake();
    rig.publish(rig.version({{"a", "1"}}));
    for (std::uint32_t i = 0; i < 3; ++i) {
        rig.say(Sub{rig.feed_key});
        REQUIRE(rig.said() == fmt::format("{}:5", i + 2));
        REQUIRE(rig.pass(150ms));
        REQUIRE(rig.said() == "11");
    }
    rig.refuse_feed = true;
    rig.seen();
    rig.say(Sub{rig.feed_key});
    REQUIRE(text_of(rig.frames()[0].message) == "not for you");
    REQUIRE(rig.seen() == "subscribe; unsubscribe");
    REQUIRE_FALSE(rig.link->has_subscriber(rig.feed_key));
}

TEST_CASE("cxo link: a feed that is not here is refused, and too many are") {
    LinkLimits limits;
    limits.feeds_max = 1;
    Acceptor rig(limits);
    rig.shake();
    rig.say(Sub{rig.feed_key});
    REQUIRE(text_of(rig.frames()[0].message) == "do not share the feed");
    rig.publish(rig.version({{"a", "1"}}));
    rig.say(Sub{rig.feed_key});
    REQUIRE(rig.said() == "3:5");
    rig.say(Sub{rig.peer.public_key});
    REQUIRE(rig.said() == "4:6");
    REQUIRE(rig.counts["too_many_feeds"] == 1);
}

TEST_CASE("cxo link: nothing is told after an Unsub, nor to who may not any more") {
    for (const bool by_peer : {true, false}) {
        Acceptor rig;
        rig.shake();
        rig.publish(rig.version({{"a", "1"}}));
        rig.say(Sub{rig.feed_key});
        rig.said();
        REQUIRE(rig.pass(150ms));
        // Its note waits already.
        if (by_peer)
            rig.say(Unsub{rig.feed_key});
        else
            rig.link->drop_subscription(rig.feed_key);
        REQUIRE_FALSE(rig.link->has_output());
        rig.publish(rig.version({{"a", "2"}}));
        REQUIRE(rig.pass(10s));
        REQUIRE(rig.said().empty());
        REQUIRE(rig.seen() == (by_peer ? "subscribe; unsubscribe" : "subscribe"));
    }
}

TEST_CASE("cxo link: a feed without a version tells its first as soon as there is one") {
    Acceptor rig;
    rig.shake();
    rig.published[rig.feed_key] = nullptr;
    rig.say(Sub{rig.feed_key});
    REQUIRE(rig.said() == "2:5");
    REQUIRE(rig.pass(5s));
    REQUIRE(rig.said().empty());
    rig.publish(rig.version({{"a", "1"}}));
    REQUIRE(rig.said() == "11");
}

TEST_CASE("cxo link: of the Roots that wait for the carrier only the newest is told") {
    Acceptor rig;
    rig.shake();
    rig.publish(rig.version({{"a", "0"}}));
    rig.say(Sub{rig.feed_key});
    rig.said();
    REQUIRE(rig.pass(150ms));
    for (int i = 1; i <= 100; ++i)
        rig.publish(rig.version({{"a", std::to_string(i)}}));
    const auto frames = rig.frames();
    REQUIRE(frames.size() == 1);
    REQUIRE(std::get<SignedRoot>(frames[0].message).seq == 100);
    REQUIRE(rig.counts["root_coalesced"] == 100);
    REQUIRE(rig.link->memory() < 4096);
}

TEST_CASE("cxo link: what is new goes ahead of its Root to who is up to date") {
    Acceptor rig;
    rig.shake();
    Publisher publisher(rig.publisher, rig.index, {}, 1);
    const auto next = [&](std::string_view path, std::string leaf) {
        rig.now += 1s;
        REQUIRE(publisher.put(path, bytes_of(leaf), rig.now));
        rig.publish(publisher.on_time(rig.now + 1s, 1));
    };
    next("d/a", "0");
    rig.say(Sub{rig.feed_key});
    rig.said();
    REQUIRE(rig.pass(150ms));
    // The first comes alone: who knows what it has.
    REQUIRE(rig.said() == "11");
    next("d/a", "1");
    REQUIRE(rig.said() == "13 13 13 13 13 13 11");
    // One that waits is behind: it asks for what it lacks.
    next("d/a", "2");
    next("d/a", "3");
    REQUIRE(rig.said() == "11");
    // Too much to go: the path to it does.
    next("d/a", std::string(70'000, 'x'));
    REQUIRE(rig.said() == "13 13 13 13 13 11");
    next("d/a", "5");
    REQUIRE(rig.said() == "13 13 13 13 13 13 11");
    // Nothing is new in a heartbeat.
    rig.now += 1min;
    rig.publish(publisher.on_time(rig.now, 2));
    REQUIRE(rig.said() == "11");
    // Its request waits for the carrier.
    rig.say(RequestObject{publisher.tree().hash()});
    next("d/a", "6");
    REQUIRE(rig.said() == "3:13 11");
}

TEST_CASE("cxo link: a Root that came while the peer filled another comes once more") {
    for (const bool begun : {false, true}) {
        Acceptor rig;
        rig.shake();
        const auto first = rig.version({{"a", "1"}});
        rig.publish(first);
        rig.say(Sub{rig.feed_key});
        rig.said();
        REQUIRE(rig.pass(150ms));
        REQUIRE(rig.said() == "11");
        rig.say(RequestObject{first->tree.hash()});
        REQUIRE(rig.said() == "3:13");
        const auto second = rig.version({{"a", "2"}});
        rig.publish(second);
        REQUIRE(rig.said() == "11");
        // It goes on with the first one, slowly; then it is silent, or begins with the second one.
        for (std::uint32_t i = 0; i < 3; ++i) {
            REQUIRE(rig.pass(900ms));
            REQUIRE(rig.said().empty());
            rig.say(RequestObject{first->tree.root()->children()[0]->hash()});
            REQUIRE(rig.said() == fmt::format("{}:13", i + 4));
        }
        if (begun) {
            rig.say(RequestObject{second->tree.hash()});
            REQUIRE(rig.said() == "7:13");
        }
        // Twice its pace.
        REQUIRE(rig.pass(1799ms));
        REQUIRE(rig.said().empty());
        REQUIRE(rig.pass(1ms));
        const auto frames = rig.frames();
        REQUIRE(frames.size() == (begun ? 0 : 1));
        REQUIRE(rig.counts["root_again"] == (begun ? 0 : 1));
        if (!begun) REQUIRE(std::get<SignedRoot>(frames[0].message) == second->root);
        REQUIRE(rig.pass(10s));
        REQUIRE(rig.said().empty());
    }
}

TEST_CASE("cxo link: a Root that came in the middle is not repeated before a slow peer is done") {
    Acceptor rig;
    rig.shake();
    const auto first = rig.version({{"a", "1"}});
    const auto second = rig.version({{"a", "2"}});
    const Hash child = first->tree.root()->children()[0]->hash();
    rig.publish(first);
    rig.say(Sub{rig.feed_key});
    rig.said();
    REQUIRE(rig.pass(150ms));
    REQUIRE(rig.said() == "11");
    rig.say(RequestObject{first->tree.hash()});
    REQUIRE(rig.said() == "3:13");
    REQUIRE(rig.pass(1200ms));
    REQUIRE(rig.said().empty());
    SECTION("told at a request") {
        rig.say(RequestObject{child});
        rig.publish(second);
        REQUIRE(rig.said() == "4:13 11");
    }
    SECTION("told long after one") {
        rig.publish(second);
        REQUIRE(rig.said() == "11");
        rig.say(RequestObject{child});
        REQUIRE(rig.said() == "4:13");
        REQUIRE(rig.pass(900ms));
        rig.say(RequestObject{child});
        REQUIRE(rig.said() == "5:13");
        rig.say(RequestObject{child});
        REQUIRE(rig.said() == "6:13");
    }
    for (int i = 0; i < 3; ++i) {
        REQUIRE(rig.pass(1200ms));
        rig.said();
        rig.say(RequestObject{child});
        rig.said();
    }
    REQUIRE(rig.pass(2399ms));
    REQUIRE(rig.said().empty());
    REQUIRE(rig.pass(1ms));
    const auto frames = rig.frames();
    REQUIRE(frames.size() == 1);
    REQUIRE(std::get<SignedRoot>(frames[0].message) == second->root);
    REQUIRE(rig.pass(15s));
    REQUIRE(rig.said().empty());
}

/// A peer that has its first Root, of a feed whose versions differ in one leaf.
struct Subscribed : Acceptor {
    Subscribed() : chain(publisher, index, {}, 1), at(now) {
        shake();
        next("0");
        say(Sub{feed_key});
        said();
        REQUIRE(pass(150ms));
        REQUIRE(said() == "11");
    }
    void next(std::string_view leaf) {
        at += 1s;
        REQUIRE(chain.put("d/a", bytes_of(leaf), at));
        publish(chain.on_time(at + 1s, 1));
    }

    Publisher chain;
    SteadyTime at;
};

TEST_CASE("cxo link: who asks for what went ahead is told no Root while it fills another") {
    Subscribed rig;
    rig.next("1");
    REQUIRE(rig.said() == "13 13 13 13 13 13 11");
    rig.say(RequestObject{rig.chain.tree().hash()});
    REQUIRE(rig.said() == "3:13");
    rig.next("2");
    rig.next("3");
    REQUIRE(rig.said().empty());
    REQUIRE(rig.counts["root_coalesced"] == 1);
    REQUIRE(rig.link->next_time() == rig.now + 500ms);
    // It goes on.
    REQUIRE(rig.pass(499ms));
    rig.say(RequestObject{registry_hash()});
    REQUIRE(rig.said() == "4:13");
    rig.say(RequestObject{rig.published[rig.feed_key]->tree.hash()});
    REQUIRE(rig.said() == "5:13");
    REQUIRE(rig.pass(499ms));
    REQUIRE(rig.said().empty());
    REQUIRE(rig.pass(1ms));
    const auto frames = rig.frames();
    REQUIRE(frames.size() == 1);
    REQUIRE(std::get<SignedRoot>(frames[0].message) == rig.published[rig.feed_key]->root);
    // Where it begins with nothing it has missed that one, and is told the next instead.
    rig.next("4");
    REQUIRE(rig.pass(999ms));
    REQUIRE(rig.said().empty());
    REQUIRE(rig.pass(1ms));
    REQUIRE(rig.said() == "13 13 13 13 13 13 11");
    // Not asked for yet: it may be long on its way.
    const auto fourth = rig.published[rig.feed_key];
    rig.next("5");
    REQUIRE(rig.pass(9s));
    REQUIRE(rig.said().empty());
    rig.say(RequestObject{fourth->tree.hash()});
    REQUIRE(rig.said() == "6:13");
    REQUIRE(rig.pass(500ms));
    REQUIRE(rig.said() == "13 13 13 13 13 13 11");
    // A version that it has from before is asked for by nobody: the next waits a second at most.
    rig.say(RequestObject{rig.published[rig.feed_key]->tree.hash()});
    REQUIRE(rig.said() == "7:13");
    REQUIRE(rig.pass(1s));
    rig.next("4");
    REQUIRE(rig.said() == "13 13 13 13 13 13 11");
    rig.next("6");
    REQUIRE(rig.pass(999ms));
    REQUIRE(rig.said().empty());
    REQUIRE(rig.pass(1ms));
    REQUIRE(rig.said() == "13 13 13 13 13 13 11");
    rig.say(RequestObject{rig.published[rig.feed_key]->tree.hash()});
    REQUIRE(rig.said() == "8:13");
    REQUIRE(rig.pass(1s));
    rig.next("4");
    REQUIRE(rig.said() == "13 13 13 13 13 13 11");
    REQUIRE(rig.pass(1s));
    REQUIRE(rig.said() == "11");
    // It asks for nothing: one that keeps what comes unasked, and is told all at once again.
    for (const char* leaf : {"7", "8", "9"}) {
        rig.next(leaf);
        REQUIRE(rig.said() == "13 13 13 13 13 13 11");
    }
}

TEST_CASE("cxo link: an answer that takes long to write holds the next Root as long") {
    Subscribed rig;
    rig.next("1");
    rig.said();
    rig.say(RequestObject{rig.chain.tree().hash()});
    REQUIRE_FALSE(rig.link->gather(rig.now).empty());
    rig.next("2");
    REQUIRE(rig.pass(3s));
    rig.link->wrote(rig.now);
    REQUIRE(rig.said().empty());
    REQUIRE(rig.link->next_time() == rig.now + 500ms);
    // Nor behind the next one, which came before that.
    rig.say(RequestObject{rig.chain.tree().root()->children()[0]->hash()});
    REQUIRE(rig.pass(500ms));
    REQUIRE(rig.said() == "4:13");
    REQUIRE(rig.pass(499ms));
    REQUIRE(rig.said().empty());
    REQUIRE(rig.pass(1ms));
    REQUIRE(rig.said() == "11");
}

TEST_CASE("cxo link: who takes its time between requests is told the next Root as much later") {
    Subscribed rig;
    rig.next("1");
    rig.said();
    const auto first = rig.published[rig.feed_key];
    const Hash child = first->tree.root()->children()[0]->hash();
    rig.say(RequestObject{first->tree.hash()});
    rig.said();
    for (int i = 0; i < 3; ++i) {
        REQUIRE(rig.pass(400ms));
        rig.say(RequestObject{child});
        rig.said();
    }
    rig.next("2");
    REQUIRE(rig.pass(799ms));
    REQUIRE(rig.said().empty());
    REQUIRE(rig.pass(1ms));
    REQUIRE(rig.said() == "13 13 13 13 13 13 11");
    // It is faster now.
    rig.say(RequestObject{rig.published[rig.feed_key]->tree.hash()});
    for (int i = 0; i < 5; ++i) {
        rig.said();
        REQUIRE(rig.pass(10ms));
        rig.say(RequestObject{child});
    }
    rig.said();
    rig.next("3");
    REQUIRE(rig.pass(500ms));
    REQUIRE(rig.said() == "13 13 13 13 13 13 11");
}

TEST_CASE("cxo link: a Root in front of an answer that takes long to write comes once more") {
    for (const Duration took : {Duration(900ms), Duration(1500ms), Duration(11s)}) {
        CAPTURE(took);
        Acceptor rig;
        rig.shake();
        const auto first = rig.version({{"a", "1"}});
        const auto second = rig.version({{"a", "2"}});
        rig.publish(first);
        rig.say(Sub{rig.feed_key});
        rig.said();
        REQUIRE(rig.pass(150ms));
        REQUIRE(rig.said() == "11");
        rig.say(RequestObject{first->tree.hash()});
        REQUIRE(rig.said() == "3:13");
        rig.publish(second);
        rig.say(RequestObject{first->tree.root()->children()[0]->hash()});
        REQUIRE_FALSE(rig.link->gather(rig.now).empty());
        REQUIRE(rig.counts["root_again"] == 0);
        REQUIRE(rig.pass(took));
        rig.link->wrote(rig.now);
        REQUIRE(rig.pass(999ms));
        REQUIRE(rig.said().empty());
        REQUIRE(rig.pass(1ms));
        const auto frames = rig.frames();
        REQUIRE(frames.size() == 1);
        REQUIRE(std::get<SignedRoot>(frames[0].message) == second->root);
        REQUIRE(rig.counts["root_again"] == 1);
        REQUIRE(rig.pass(15s));
        REQUIRE(rig.said().empty());
    }
}

TEST_CASE("cxo link: what passes between versions of one feed is not the pace of another") {
    Subscribed rig;
    rig.next("1");
    rig.said();
    rig.say(RequestObject{rig.chain.tree().hash()});
    REQUIRE(rig.said() == "3:13");
    const crypto::KeyPair other = keys_of("other");
    Publisher chain(other, rig.index, {}, 1);
    SteadyTime at = rig.now;
    const auto publish = [&](std::string_view leaf) {
        at += 1s;
        REQUIRE(chain.put("o/a", bytes_of(leaf), at));
        rig.publish(chain.on_time(at + 1s, 1));
    };
    publish("0");
    rig.say(Sub{other.public_key});
    rig.said();
    REQUIRE(rig.pass(150ms));
    REQUIRE(rig.said() == "11");
    for (const char* leaf : {"1", "2", "3"}) {
        REQUIRE(rig.pass(4s));
        rig.said();
        publish(leaf);
        rig.said();
        rig.say(RequestObject{chain.tree().hash()});
        rig.said();
    }
    rig.next("2");
    REQUIRE(rig.pass(499ms));
    REQUIRE(rig.said().empty());
    REQUIRE(rig.pass(1ms));
    REQUIRE(rig.said() == "13 13 13 13 13 13 11");
}

TEST_CASE("cxo link: a version that is not asked for holds the next one for a second") {
    Subscribed rig;
    rig.next("1");
    rig.said();
    rig.say(RequestObject{rig.chain.tree().hash()});
    REQUIRE(rig.said() == "3:13");
    // Nobody asks for what is in a heartbeat.
    rig.at += 1min;
    REQUIRE(rig.pass(2s));
    rig.publish(rig.chain.on_time(rig.at, 2));
    REQUIRE(rig.said() == "11");
    REQUIRE(rig.pass(10s));
    REQUIRE(rig.said().empty());
    rig.next("2");
    REQUIRE(rig.said() == "13 13 13 13 13 13 11");
    rig.next("3");
    REQUIRE(rig.pass(999ms));
    REQUIRE(rig.said().empty());
    REQUIRE(rig.pass(1ms));
    REQUIRE(rig.said() == "13 13 13 13 13 13 11");
}

TEST_CASE("cxo link: to ask what feeds there are is not to ask for objects at once") {
    Subscribed rig;
    rig.next("1");
    rig.said();
    rig.say(RequestList{});
    rig.say(RequestObject{rig.chain.tree().hash()});
    REQUIRE(rig.said() == "3:6 4:13");
    rig.next("2");
    REQUIRE(rig.said().empty());
    REQUIRE(rig.pass(500ms));
    REQUIRE(rig.said() == "13 13 13 13 13 13 11");
}

TEST_CASE("cxo link: who asks for several objects at once is told every Root at once") {
    Subscribed rig;
    rig.next("1");
    rig.said();
    rig.say(RequestObject{rig.chain.tree().hash()});
    rig.say(RequestObject{rig.chain.tree().root()->children()[0]->hash()});
    REQUIRE(rig.said() == "3:13 4:13");
    rig.next("2");
    REQUIRE(rig.said() == "13 13 13 13 13 13 11");
}

TEST_CASE("cxo link: objects of the last versions stay as long as the peer may ask for them") {
    Acceptor rig;
    rig.shake();
    auto first = rig.version({{"a", "first"}});
    const Hash first_tree = first->tree.hash();
    rig.publish(std::move(first));
    rig.say(Sub{rig.feed_key});
    rig.said();
    REQUIRE(rig.pass(150ms));
    rig.said();
    // It begins to fill the first one.
    rig.say(RequestObject{first_tree});
    REQUIRE(rig.said() == "3:13");
    for (int i = 0; i < 5; ++i) {
        rig.publish(rig.version({{"a", std::to_string(i)}}));
        REQUIRE(rig.pass(1s));
        REQUIRE(rig.said() == "11");
        REQUIRE(rig.index.find(first_tree));
    }
    // It has asked for nothing for long.
    for (int i = 5; i < 20; ++i) {
        rig.publish(rig.version({{"a", std::to_string(i)}}));
        REQUIRE(rig.pass(1s));
        rig.said();
    }
    REQUIRE_FALSE(rig.index.find(first_tree));
    REQUIRE(rig.index.size() < 20);
}

TEST_CASE("cxo link: a Ping, a Pong and answers that nobody asked for have no effect") {
    Acceptor rig;
    rig.shake();
    rig.say(Ping{});
    rig.say(Pong{});
    rig.say(Ok{});
    rig.say(Err{"x"}, 77);
    rig.say(List{});
    rig.say(Peers{rig.feed_key, {}});
    rig.say(ObjectBytes{as_bytes("unasked")});
    rig.say(rig.chain.next(crypto::sha256({})));
    REQUIRE(rig.said().empty());
    REQUIRE(rig.seen().empty());
    REQUIRE(rig.counts["ping"] == 2);
    REQUIRE(rig.counts["unasked_answer"] == 4);
    REQUIRE(rig.counts["unasked_object"] == 1);
    REQUIRE(rig.counts["other_feed"] == 1);
}

TEST_CASE("cxo link: who asks for peers is told of none") {
    Acceptor rig;
    rig.shake();
    rig.say(RequestPeers{rig.feed_key});
    const auto frames = rig.frames();
    REQUIRE(frames[0].rseq == 2);
    REQUIRE(std::get<Peers>(frames[0].message).feed == rig.feed_key);
    REQUIRE(std::get<Peers>(frames[0].message).peers.empty());
    REQUIRE(rig.counts["request_peers"] == 1);
}

TEST_CASE("cxo link: a sign of life each 30 s, an end after 90 s of silence") {
    Acceptor rig;
    rig.shake();
    for (int i = 0; i < 2; ++i) {
        REQUIRE(rig.pass(30s));
        REQUIRE(rig.said() == "9");
    }
    REQUIRE(rig.pass(30s).error() == errc::timed_out);
    Acceptor alive;
    alive.shake();
    for (std::uint32_t i = 0; i < 10; ++i) {
        REQUIRE(alive.pass(30s));
        REQUIRE(alive.said() == "9");
        if (i % 2 == 0) alive.say(Err{"not a public server"}, i + 2);
    }
}

TEST_CASE("cxo link: a carrier that takes nothing gets one sign of life, not many") {
    Acceptor rig;
    rig.shake();
    for (int i = 0; i < 10; ++i) {
        rig.say(Ping{});
        REQUIRE(rig.pass(30s));
    }
    REQUIRE(rig.said() == "9");
}

TEST_CASE("cxo link: a thousand idle subscribers take a few kB each") {
    Acceptor rig;
    rig.shake();
    rig.publish(rig.version({{"a", "1"}}));
    rig.say(Sub{rig.feed_key});
    rig.said();
    REQUIRE(rig.pass(150ms));
    rig.said();
    REQUIRE(rig.pass(2s));
    rig.said();
    REQUIRE(rig.link->memory() < 2048);
}

}  // namespace skywire::cxo::test
