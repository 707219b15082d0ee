// What throws where nothing should: the clock, the log, whoever is asked who is wanted. It ends one
// connection, and neither the node nor what it counts.

#include "cxo/raw_peer.hpp"

#include <stdexcept>

namespace skywire::cxo {
namespace {

using test::bytes_of;
using test::keys_of;
using test::Party;
using test::quick;
using test::RawPeer;
using test::with_clock;
using namespace std::chrono_literals;

std::uint64_t exceptions(net::TestLoop& loop) {
    return loop.metrics.counter("cxo_exceptions_total", "").value();
}

/// Throws once where it is told of this event.
class ThrowingSink final : public log::Sink {
 public:
    void write(log::Level, std::string_view, std::string_view event, const log::Field*, std::size_t)
        override {
        if (event != throws_at) return;
        throws_at.clear();
        throw std::runtime_error("no log");
    }

    std::string throws_at;
};

/// A loop that tells everything.
struct Told {
    Told() {
        loop.context.logger =
            log::Logger(std::make_shared<log::Channel>("test", log::Level::debug, sink));
    }

    ThrowingSink sink;
    net::TestLoop loop;
};

TEST_CASE("node: what is thrown where the end of a connection is logged leaves nothing of it") {
    Told told;
    net::TestLoop& loop = told.loop;
    Party publisher(loop, "publisher", Carrier::plain);
    publisher.serve();
    Feed feed(loop.context, *publisher.node, quick(publisher.keys));
    REQUIRE(feed.put("a", bytes_of("1")));
    const auto subscribe = [&](RawPeer& peer) {
        peer.shake_hands("subscriber");
        peer.send(Sub{publisher.keys.public_key});
        peer.receive_a<SignedRoot>();
    };
    RawPeer peer = RawPeer::dial(loop, publisher);
    subscribe(peer);
    CHECK(publisher.node->status().subscriptions == 1);

    told.sink.throws_at = "cxo.connection.ended";
    peer.close();
    loop.run_until([&] { return exceptions(loop) == 1; });
    CHECK(publisher.node->status().accepted == 0);
    CHECK(publisher.node->status().subscriptions == 0);
    // Nobody takes what is gone for a subscriber, or for an earlier connection of the same peer.
    RawPeer again = RawPeer::dial(loop, publisher);
    subscribe(again);
    REQUIRE(feed.put("a", bytes_of("2")));
    again.receive_a<SignedRoot>();
    CHECK(publisher.node->status().accepted == 1);
    again.close();
    test::close(loop, feed);
}

TEST_CASE("node: what is thrown over one stream that is accepted keeps no other out") {
    Told told;
    net::TestLoop& loop = told.loop;
    NodeOptions options(keys_of("publisher"));
    options.handshakes_per_address_max = 1;
    Party publisher(loop, options, Carrier::plain);
    publisher.serve();
    RawPeer first = RawPeer::dial(loop, publisher);
    loop.run_until([&] { return publisher.node->status().handshakes == 1; });
    told.sink.throws_at = "cxo.connection.ended";
    RawPeer second = RawPeer::dial(loop, publisher);
    loop.run_until([&] { return exceptions(loop) == 1; });
    RawPeer third = RawPeer::dial(loop, publisher);
    third.shake_hands("third");
    CHECK(publisher.node->status().accepted == 1);
    CHECK(publisher.node->status().handshakes == 0);
    for (RawPeer* peer : {&first, &second, &third})
        peer->close();
}

/// The machine's clock, which throws as often as it is told to.
class ThrowingClock final : public Clock {
 public:
    SteadyTime now() const override {
        if (throws == 0) return clock_.now();
        --throws;
        throw std::runtime_error("no time");
    }
    WallTime wall() const override { return clock_.wall(); }
    std::unique_ptr<Alarm> set_alarm(SteadyTime at, std::function<void()> on_time) override {
        return clock_.set_alarm(at, std::move(on_time));
    }

    mutable int throws = 0;

 private:
    SystemClock clock_;
};

TEST_CASE("remote feed: it is followed again, however often something throws on the way") {
    net::TestLoop loop;
    Party publisher(loop, "publisher", Carrier::plain);
    Party subscriber(loop, "subscriber", Carrier::plain);
    publisher.serve();
    Feed feed(loop.context, *publisher.node, quick(publisher.keys));
    feed.publish_even_if_empty();
    ThrowingClock clock;
    RemoteFeedOptions options(publisher.keys.public_key, publisher.route());
    options.times.retry_max = 10ms;
    RemoteFeed copy(with_clock(loop.context, clock), *subscriber.node, std::move(options));
    // An attempt, and the pauses behind it.
    clock.throws = 3;
    copy.start();
    loop.run_until([&] { return exceptions(loop) == 3; });
    test::wait_live(loop, copy);
    test::close(loop, copy);
    test::close(loop, feed);
}

/// A clock that is moved by hand and throws once: when it is asked for the n-th time from now on.
class FailingClock final : public Clock {
 public:
    SteadyTime now() const override {
        ++asked;
        if (left > 0 && --left == 0) throw std::runtime_error("no time");
        return clock.now();
    }
    WallTime wall() const override { return clock.wall(); }
    std::unique_ptr<Alarm> set_alarm(SteadyTime at, std::function<void()> on_time) override {
        return clock.set_alarm(at, std::move(on_time));
    }

    ManualClock clock;
    mutable int asked = 0;
    mutable int left = 0;
};

/// A node with that clock, and those who dial it one after the other.
struct Failing {
    Failing() : node(with_clock(loop.context, clock), NodeOptions(keys_of("publisher"))) {}
    ~Failing() { test::close(loop, node); }
    Failing(const Failing&) = delete;
    Failing& operator=(const Failing&) = delete;

    void advance(Duration by) {
        clock.clock.advance(by);
        loop.settle();
    }
    std::unique_ptr<net::Stream> dial(std::optional<std::string_view> name) {
        auto [near, far] = net::make_pipe(loop.context.loop);
        node.accept(std::move(far), Carrier::plain);
        loop.settle();
        if (!name) return std::move(near);
        const Bytes syn = encode_frame({1, 0, Syn{kProtocolVersion, keys_of(*name).public_key}});
        // The connection may be gone already.
        (void)loop.run(near->write(syn));
        loop.settle();
        return std::move(near);
    }
    /// One that says who it is and is hung up on when it says nothing more.
    void play() {
        const auto stream = dial("first");
        for (Duration passed{}; passed < 100s; passed += 10s)
            advance(10s);
        stream->close();
        loop.settle();
    }

    net::TestLoop loop;
    FailingClock clock;
    Node node;
};

TEST_CASE("node: whenever its clock throws, nothing of a connection stays, and time is kept") {
    int most = 0;
    {
        Failing once;
        once.play();
        most = once.clock.asked;
    }
    REQUIRE(most > 10);
    for (int n = 1; n <= most; ++n) {
        INFO("the clock throws when it is asked for time " << n);
        Failing failing;
        failing.clock.left = n;
        failing.play();
        CHECK(failing.clock.left == 0);
        CHECK(exceptions(failing.loop) == 1);
        CHECK(failing.node.status().accepted == 0);
        CHECK(failing.node.status().handshakes == 0);

        const auto silent = failing.dial(std::nullopt);
        CHECK(failing.node.status().handshakes == 1);
        failing.advance(10s);
        CHECK(failing.node.status().handshakes == 0);
        const auto other = failing.dial("other");
        CHECK(failing.node.status().accepted == 1);
        other->close();
        failing.loop.settle();
        CHECK(failing.node.status().accepted == 0);
    }
}

}  // namespace
}  // namespace skywire::cxo
