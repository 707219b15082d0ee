// The rules of a connection, one by one: subscriber.

#include "cxo/link_rig.hpp"

namespace skywire::cxo::test {

TEST_CASE("cxo link: subscriptions from before the handshake are said after it") {
    Dialer rig;
    rig.link->subscribe(rig.feed_key, rig.now);
    REQUIRE(rig.link->window() == 0);
    rig.shake();
    REQUIRE(rig.link->window() == 256);
    REQUIRE(rig.said() == "7");
    rig.say(Err{"do not share the feed"}, 2);
    REQUIRE(rig.seen() == "refused do not share the feed");
    rig.say(rig.chain.next(crypto::sha256({})));
    REQUIRE(rig.counts["other_feed"] == 1);
}

TEST_CASE("cxo link: answers come in any order, and each is for its own request") {
    Dialer rig;
    rig.shake();
    rig.follow();
    const std::vector<std::string> texts{"one", "two", "three"};
    for (const auto& text : texts)
        rig.link->request(crypto::sha256(as_bytes(text)), rig.now);
    REQUIRE(rig.link->window() == 253);
    REQUIRE(rig.said() == "12 12 12");
    rig.say(ObjectBytes{as_bytes(texts[2])}, 5);
    rig.say(Err{}, 3);
    REQUIRE(rig.seen() == "object; no object");
    // Other bytes than those that were asked for.
    rig.say(ObjectBytes{as_bytes(texts[0])}, 4);
    REQUIRE(rig.seen() == "no object");
    REQUIRE(rig.counts["wrong_object"] == 1);
    REQUIRE(rig.link->window() == 256);
    // An answer twice is none.
    rig.say(ObjectBytes{as_bytes(texts[0])}, 4);
    REQUIRE(rig.seen() == "unasked");
}

TEST_CASE("cxo link: the window opens while answers are quick") {
    LinkLimits limits;
    limits.window_min = 4;
    limits.window_max = 16;
    Dialer rig(limits);
    rig.shake();
    rig.follow();
    std::uint32_t asked = 3;
    const auto round = [&](std::size_t count, Duration time) {
        for (std::size_t i = 0; i < count; ++i)
            rig.link->request(crypto::sha256(as_bytes(std::to_string(asked + i))), rig.now);
        rig.said();
        rig.now += time;
        for (std::size_t i = 0; i < count; ++i)
            rig.say(Err{}, asked++);
    };
    round(4, 1s);
    REQUIRE(rig.link->window() == 8);
    round(8, 6s);
    REQUIRE(rig.link->window() == 8);
    round(8, 5s);
    REQUIRE(rig.link->window() == 16);
    round(16, 1s);
    round(16, 1s);
    REQUIRE(rig.link->window() == 16);
}

TEST_CASE("cxo link: a flood of unasked objects is dropped, up to the next Root") {
    LinkLimits limits;
    limits.unasked_max = 10'000;
    Dialer rig(limits);
    rig.shake();
    rig.follow();
    const std::string object(1000, 'x');
    for (int i = 0; i < 100; ++i)
        rig.say(ObjectBytes{as_bytes(object)});
    REQUIRE(rig.counts["unasked_object"] == 91);
    rig.say(rig.chain.next(crypto::sha256({})));
    rig.say(ObjectBytes{as_bytes(object)});
    REQUIRE(rig.counts["unasked_object"] == 91);
}

TEST_CASE("cxo link: a long frame that nobody wants goes by without being kept") {
    Dialer rig;
    rig.shake();
    const std::string object(4 << 20, 'x');
    Bytes frame = encode_frame(Frame{9, 0, ObjectBytes{as_bytes(object)}});
    REQUIRE(rig.feed(ByteSpan(frame).first(frame.size() - 1), 65'536));
    REQUIRE(rig.link->memory() < 4096);
    REQUIRE(rig.feed(ByteSpan(frame).last(1)));
    rig.say(Ping{});
    REQUIRE(rig.counts["ping"] == 1);
    // Text is never that long.
    const std::string text(100'000, 'x');
    REQUIRE(rig.feed(Frame{9, 0, Err{text}}).error() == errc::limit_reached);
}

TEST_CASE("cxo link: no object is taken that is larger than all of the feed may be") {
    LinkLimits limits;
    limits.object_max = 100'000;
    {
        Dialer rig(limits);
        rig.shake();
        rig.follow();
        const std::string fits(100'000, 'x');
        rig.link->request(crypto::sha256(as_bytes(fits)), rig.now);
        rig.said();
        rig.say(ObjectBytes{as_bytes(fits)}, 3);
        REQUIRE(rig.seen() == "object");
        // What nobody asked for is no larger either, together.
        const std::string half(60'000, 'x');
        rig.say(ObjectBytes{as_bytes(half)});
        rig.say(ObjectBytes{as_bytes(half)});
        REQUIRE(rig.seen() == "unasked");
        REQUIRE(rig.counts["unasked_object"] == 1);
    }
    Dialer rig(limits);
    rig.shake();
    rig.follow();
    const std::string large(200'000, 'x');
    rig.link->request(crypto::sha256(as_bytes(large)), rig.now);
    rig.said();
    const Bytes frame = encode_frame(Frame{9, 3, ObjectBytes{as_bytes(large)}});
    REQUIRE(rig.feed(ByteSpan(frame).first(kFrameHead)).error() == errc::limit_reached);
    REQUIRE(rig.link->memory() < 4096);
    // Other messages have the room they always have.
    limits.object_max = 1;
    Dialer small(limits);
    small.shake();
    REQUIRE(small.feed(Frame{9, 0, Err{std::string(60'000, 'x')}}));
}

TEST_CASE("cxo link: an object that comes in pieces is whole, and its memory is given back") {
    Dialer rig;
    rig.shake();
    rig.follow();
    const std::string object(5 << 20, 'x');
    rig.link->request(crypto::sha256(as_bytes(object)), rig.now);
    rig.said();
    const Bytes frame = encode_frame(Frame{9, 3, ObjectBytes{as_bytes(object)}});
    REQUIRE(rig.feed(frame, 4093));
    REQUIRE(rig.seen() == "object");
    REQUIRE(rig.link->memory() < 4096);
}

TEST_CASE("cxo link: a request that is never answered is given up, one of many that move is not") {
    Dialer rig;
    rig.shake();
    rig.follow();
    rig.link->request(crypto::sha256(as_bytes("lost")), rig.now);
    rig.link->request(crypto::sha256(as_bytes("late")), rig.now);
    rig.said();
    REQUIRE(rig.pass(50s));
    rig.said();
    rig.say(ObjectBytes{as_bytes("late")}, 4);
    REQUIRE(rig.seen() == "object");
    REQUIRE(rig.pass(58s));
    REQUIRE(rig.seen().empty());
    REQUIRE(rig.pass(1s));
    REQUIRE(rig.seen() == "no object");
    REQUIRE(rig.counts["no_answer"] >= 1);
    REQUIRE(rig.link->window() == 256);
}

TEST_CASE("cxo link: an object that comes slowly is waited for") {
    Dialer rig;
    rig.shake();
    rig.follow();
    const std::string object(10'000, 'x');
    rig.link->request(crypto::sha256(as_bytes(object)), rig.now);
    rig.said();
    const Bytes frame = encode_frame(Frame{9, 3, ObjectBytes{as_bytes(object)}});
    REQUIRE(rig.link->progress() == SteadyTime());
    for (std::size_t at = 0; at < frame.size(); at += 1000) {
        REQUIRE(rig.feed(ByteSpan(frame).subspan(at, std::min<std::size_t>(1000, frame.size() - at))
        ));
        REQUIRE(rig.link->progress() == rig.now);
        if (at + 1000 < frame.size()) REQUIRE(rig.pass(50s));
    }
    REQUIRE(rig.seen() == "object");
    // Signs of life are none.
    const SteadyTime last = rig.now;
    rig.now += 10s;
    rig.say(Ping{});
    rig.say(ObjectBytes{as_bytes("unasked")});
    REQUIRE(rig.link->progress() == last);
}

TEST_CASE("cxo link: no more than 256 requests are unanswered before any answer") {
    Dialer rig;
    rig.shake();
    rig.follow();
    for (int i = 0; i < 256; ++i)
        rig.link->request(crypto::sha256(as_bytes(std::to_string(i))), rig.now);
    REQUIRE(rig.link->window() == 0);
    rig.said();
    REQUIRE(rig.link->window() == 0);
    rig.say(Err{}, 3);
    REQUIRE(rig.link->window() == 1);
}

}  // namespace skywire::cxo::test
