// Sessions at their limits: time, hostile peers, ends, and observers.

#include "mux/session_rig.hpp"
#include "net/scope.hpp"

using namespace skywire;
using namespace skywire::mux;
using namespace skywire::mux::test;

namespace {

using yamux::kFin;
using yamux::kSyn;
using yamux::Type;

/// Writes down what it is told; `on_...` may do more.
struct Watcher final : Stream::Observer {
    void on_readable() override {
        ++readable;
        if (when_readable) when_readable();
    }
    void on_taken(std::size_t bytes) override {
        taken += bytes;
        if (when_taken) when_taken();
    }
    void on_lost(const Error& reason) override {
        ++lost;
        why = reason;
        if (when_lost) when_lost();
    }
    int readable = 0;
    std::size_t taken = 0;
    int lost = 0;
    Error why;
    std::function<void()> when_readable;
    std::function<void()> when_taken;
    std::function<void()> when_lost;
};

ByteQueue queue_of(ByteSpan bytes) {
    ByteQueue queue;
    queue.append(Slice::copy_of(bytes));
    return queue;
}

Bytes bytes_of(ByteQueue queue) {
    Bytes all(queue.size());
    queue.read(all);
    return all;
}

/// Relays between two streams, by reference, as a server does.
struct Relay {
    Relay(Stream& a, Stream& b) {
        join(a, b, from_a, from_b);
        join(b, a, from_b, from_a);
        a.observe(&from_a);
        b.observe(&from_b);
    }
    void join(Stream& from, Stream& to, Watcher& here, Watcher& there) {
        here.when_readable = [this, &from, &to] {
            held += from.received();
            held_max = std::max(held_max, held);
            if (from.received() > 0) to.push(from.take_received());
            if (from.finished()) to.close();
        };
        there.when_taken = [this, &from, &there] {
            const std::size_t bytes = std::exchange(there.taken, 0);
            held -= bytes;
            from.consumed(bytes);
        };
        here.when_lost = [&to] { to.reset(); };
    }
    Watcher from_a;
    Watcher from_b;
    std::size_t held = 0;
    std::size_t held_max = 0;
};

}  // namespace

TEST_CASE("session: a silent peer is asked, then given up") {
    ManualClock clock;
    Pair pair(&clock);
    pair.start_raw();
    auto stream = pair.far->open().value();
    CHECK(pair.heard() == "000100010000000200000000");
    clock.advance(4s);
    pair.tick();
    CHECK(pair.server.ends == 0);
    clock.advance(1s);
    pair.tick();
    CHECK(pair.heard() == "000200010000000000000000");
    clock.advance(10s);
    pair.tick();
    CHECK(pair.server.ends == 1);
    CHECK(pair.server.end == make_error_code(mux::errc::peer_silent));
    CHECK(pair.far->ended());
    CHECK(pair.far->streams() == 0);
    const auto refused = pair.loop.run(stream->write(as_bytes("x")));
    CHECK(refused.error() == make_error_code(mux::errc::session_ended));
    CHECK(pair.far->open().error() == make_error_code(mux::errc::session_ended));
    CHECK(pair.loop.run(pair.far->ping()).error() == make_error_code(mux::errc::session_ended));
    CHECK(pair.heard().empty());
}

TEST_CASE("session: a peer that never says which protocol it speaks is given up") {
    ManualClock clock;
    Pair pair(&clock);
    Session::Options any;
    any.protocol.reset();
    pair.start_raw(any);
    clock.advance(39s);
    pair.tick();
    CHECK(pair.server.ends == 0);
    clock.advance(1s);
    pair.tick();
    CHECK(pair.server.ends == 1);
    CHECK(pair.server.end == make_error_code(mux::errc::peer_silent));
}

TEST_CASE("session: peers that answer stay, for hours, and what they held for writing goes") {
    ManualClock clock;
    Pair pair(&clock);
    pair.start();
    auto [here, there] = pair.open();
    for (int minute = 0; minute < 3000; ++minute) {
        clock.advance(2s);
        pair.tick();
    }
    CHECK(pair.client.ends == 0);
    CHECK(pair.server.ends == 0);
    CHECK(pair.near->last_received() > clock.now() - 10s);
    CHECK(pair.loop.run(here->write(pattern(1000))));
}

TEST_CASE("session: output that nobody takes ends it") {
    ManualClock clock;
    Pair pair(&clock);
    pair.start_raw({}, 1000);
    auto stream = pair.far->open().value();
    Watcher watcher;
    stream->observe(&watcher);
    stream->push(queue_of(pattern(100'000)));
    pair.loop.settle();
    clock.advance(9s);
    pair.tick();
    CHECK(pair.server.ends == 0);
    clock.advance(1s);
    pair.tick();
    CHECK(pair.server.ends == 1);
    CHECK(pair.server.end == make_error_code(mux::errc::write_timed_out));
    CHECK(watcher.lost == 1);
    CHECK(watcher.why == make_error_code(mux::errc::session_ended));
}

TEST_CASE("session: what a closed stream cannot send is given up") {
    ManualClock clock;
    Pair pair(&clock);
    pair.start();
    auto [here, there] = pair.open();
    here->push(queue_of(pattern(500'000)));
    here->close();
    here.reset();
    pair.loop.settle();
    CHECK(there->received() == 256 * 1024);
    for (int i = 0; i < 15; ++i) {
        clock.advance(2s);
        pair.tick();
    }
    CHECK(pair.near->streams() == 0);
    Bytes all(300'000);
    const auto read = [&]() { return pair.loop.run(there->read_some(all)); };
    CHECK(read().value() == 256 * 1024);
    CHECK(read().error() == make_error_code(mux::errc::reset));
    CHECK(pair.client.ends == 0);
}

TEST_CASE("session: a flood of SYN is refused beyond the limit") {
    Pair pair;
    Session::Options options;
    options.core.streams_max = 100;
    pair.start_raw(options, 1'000'000);
    Bytes flood;
    for (StreamId id = 1; id <= 2 * 5000; id += 2) {
        const auto frame = yamux::encode({Type::window_update, kSyn, id, 0});
        flood.insert(flood.end(), frame.begin(), frame.end());
    }
    pair.say(flood);
    CHECK(pair.server.streams.size() == 100);
    CHECK(pair.server.refused == 4900);
    CHECK(pair.server.ends == 0);
    CHECK(pair.heard().size() / 24 == 5000);
}

TEST_CASE("session: data beyond the window ends it, with a go-away and without harm to others") {
    Pair pair;
    pair.start_raw({}, 1'000'000);
    pair.say(Type::window_update, kSyn, 1, 0);
    pair.say(Type::data, 0, 1, 200'000);
    pair.say(pattern(200'000));
    CHECK(pair.server.streams.at(0)->received() == 200'000);
    pair.heard();
    pair.say(Type::data, 0, 1, 100'000);
    CHECK(pair.heard() == "000300000000000000000001");
    CHECK(pair.server.ends == 1);
    CHECK(pair.server.end == make_error_code(mux::errc::window_exceeded));
    // What was received stays.
    CHECK(pair.server.streams.at(0)->take_received().size() == 200'000);
}

TEST_CASE("session: the farewell waits for a peer that does not read, but not long") {
    ManualClock clock;
    Pair pair(&clock);
    pair.start_raw({}, 100);
    // Their answers fill the pipe.
    for (std::uint32_t i = 0; i < 20; ++i)
        pair.say(Type::ping, kSyn, 0, i);
    pair.say(pattern(12, 1));
    CHECK(pair.far->ended());
    CHECK(pair.server.ends == 0);
    pair.tick();
    CHECK(pair.server.ends == 0);
    clock.advance(1s);
    pair.tick();
    CHECK(pair.server.ends == 1);
    CHECK(pair.server.end == make_error_code(mux::errc::bad_frame));
}

TEST_CASE("session: a peer that asks and does not read is not read either") {
    Pair pair;
    Session::Options options;
    options.output_max = 4096;
    pair.start_raw(options, 10'000);
    Bytes flood;
    for (std::uint32_t i = 0; i < 100'000; ++i) {
        const auto frame = yamux::encode({Type::ping, kSyn, 0, i});
        flood.insert(flood.end(), frame.begin(), frame.end());
    }
    std::optional<Result<>> written;
    net::Scope scope(pair.loop.ioc.get_executor());
    scope.spawn("flood", [&]() -> Task<> { written = co_await pair.raw->write(flood); });
    pair.loop.settle();
    CHECK(!written);
    std::size_t answers = 0;
    while (answers < flood.size())
        answers += pair.heard().size() / 2;
    pair.loop.run(scope.wait_empty());
    CHECK(answers == flood.size());
    CHECK(*written);
    CHECK(pair.server.ends == 0);
}

TEST_CASE("session: garbage and broken frames never harm more than their session") {
    Pair pair;
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        Bytes garbage = pattern(2000, seed);
        if (seed % 2 == 0) {
            for (std::size_t i = 0; i + 12 < garbage.size(); i += 12) {
                garbage[i] = std::byte(0);
                garbage[i + 1] &= std::byte(1);
                for (std::size_t k = 4; k < 11; ++k)
                    garbage[i + k] = std::byte(0);
            }
        }
        const int ends = pair.server.ends;
        pair.start_raw({}, 100'000);
        const auto work = [&]() -> Task<> {
            const auto written = co_await pair.raw->write(garbage);
            CHECK(written);
        };
        pair.loop.run(work());
        pair.loop.settle();
        pair.raw->close();
        pair.loop.settle();
        CHECK(pair.server.ends == ends + 1);
        pair.close();
    }
}

TEST_CASE("session: ended by its owner, once, whoever says so first") {
    Pair pair;
    pair.start();
    auto [here, there] = pair.open();
    Watcher watcher;
    here->observe(&watcher);
    SECTION("aborted") {
        pair.near->abort(fail(skywire::errc::limit_reached, "a newer session"));
        pair.near->abort(fail(skywire::errc::closed, "again"));
        // Nobody is called from within a call.
        CHECK(watcher.lost == 0);
        CHECK(pair.client.ends == 0);
        CHECK(pair.near->ended());
        pair.loop.settle();
        CHECK(pair.client.end.message() == "a newer session");
        CHECK(watcher.why.message() == "a newer session");
    }
    SECTION("closed") {
        pair.loop.run(pair.near->close());
        CHECK(pair.client.end == make_error_code(skywire::errc::closed));
    }
    CHECK(watcher.lost == 1);
    CHECK(pair.client.ends == 1);
    pair.loop.run(pair.near->close());
    pair.near.reset();
    // The stream is still there, and knows.
    CHECK(here->id() == 1);
    here->push(queue_of(as_bytes("x")));
    here->consumed(0);
    const auto refused = pair.loop.run(here->write(as_bytes("x")));
    CHECK(refused.error() == make_error_code(mux::errc::session_ended));
    here->close();
    here.reset();
    pair.loop.settle();
    CHECK(pair.server.ends == 1);
    CHECK(pair.server.end == make_error_code(skywire::errc::closed));
    CHECK(pair.client.ends == 1);
}

TEST_CASE("session: may be ended and closed inside what it tells") {
    Pair pair;
    pair.start();
    auto [here, there] = pair.open();
    auto [other, other_end] = pair.open();
    net::Scope scope(pair.loop.ioc.get_executor());
    Watcher watcher;
    Watcher second;
    there->observe(&watcher);
    other_end->observe(&second);
    const int how = GENERATE(0, 1, 2, 3);
    watcher.when_readable = [&] {
        if (how == 0) pair.far->abort(fail(skywire::errc::closed, "enough"));
        if (how == 1) scope.spawn("close", [&] { return pair.far->close(); });
        if (how == 2) there->reset();
        if (how == 3) there.reset();
    };
    second.when_lost = [&] { other_end.reset(); };
    CHECK(pair.loop.run(here->write(as_bytes("x"))));
    pair.loop.settle();
    CHECK(scope.size() == 0);
    if (how < 2) {
        CHECK(pair.server.ends == 1);
        CHECK(second.lost == 1);
        CHECK(!other_end);
        CHECK(watcher.lost == 1);
    } else {
        CHECK(pair.server.ends == 0);
        CHECK(watcher.lost == 0);
        Bytes buffer(9);
        const auto size = pair.loop.run(here->read_some(buffer));
        CHECK(size.error() == make_error_code(mux::errc::reset));
    }
}

TEST_CASE("session: streams opened by the peer meet a session that ends") {
    Pair pair;
    pair.start();
    auto a = pair.near->open().value();
    auto b = pair.near->open().value();
    pair.near->abort(fail(skywire::errc::closed, "changed its mind"));
    pair.loop.settle();
    CHECK(pair.server.ends == 1);
}

TEST_CASE("observer: told of what was there before it came") {
    Pair pair;
    pair.start();
    auto [here, there] = pair.open();
    CHECK(pair.loop.run(here->write(as_bytes("early"))));
    here->close();
    pair.loop.settle();
    Watcher watcher;
    there->observe(&watcher);
    CHECK(watcher.readable == 0);
    pair.loop.settle();
    CHECK(watcher.readable == 1);
    CHECK(!there->finished());
    const Bytes got = bytes_of(there->take_received());
    CHECK(as_text(got) == "early");
    CHECK(there->finished());
    there->observe(nullptr);
    pair.near->abort(fail(skywire::errc::closed, {}));
    pair.loop.settle();
    CHECK(watcher.lost == 0);
}

TEST_CASE("observer: the window stays closed until what was taken is consumed") {
    const auto protocol = GENERATE(Protocol::yamux, Protocol::smux);
    Session::Options options;
    options.protocol = protocol;
    Pair pair;
    pair.start(options);
    auto [here, there] = pair.open();
    Watcher sender;
    here->observe(&sender);
    const Bytes bytes = pattern(1'000'000, 6);
    here->push(queue_of(bytes));
    pair.loop.settle();
    const std::size_t first = there->received();
    CHECK(first <= 256 * 1024);
    CHECK(sender.taken == first);
    Bytes got = bytes_of(there->take_received());
    pair.loop.settle();
    CHECK(there->received() == 0);
    there->consumed(first);
    pair.loop.settle();
    CHECK(there->received() > 0);
    while (got.size() < bytes.size()) {
        const Bytes more = bytes_of(there->take_received());
        REQUIRE(!more.empty());
        got.insert(got.end(), more.begin(), more.end());
        there->consumed(more.size());
        pair.loop.settle();
    }
    CHECK(got == bytes);
    CHECK(sender.taken == bytes.size());
}

TEST_CASE("observer: a relay over two sessions, both ways, holds no more than two windows") {
    const auto protocol = GENERATE(Protocol::yamux, Protocol::smux);
    Session::Options options;
    options.protocol = protocol;
    net::TestLoop loop;
    Peer owner(loop);
    Peer ends(loop);
    const auto session = [&](Role role, std::unique_ptr<net::Stream> carrier, Peer& peer) {
        Session::Options own = options;
        own.core.role = role;
        return std::make_unique<Session>(loop.context, std::move(carrier), own, peer);
    };
    auto [a, a_end] = net::make_pipe(loop.ioc.get_executor());
    auto [b, b_end] = net::make_pipe(loop.ioc.get_executor());
    auto source = session(Role::client, std::move(a), ends);
    auto in = session(Role::server, std::move(a_end), owner);
    auto out = session(Role::client, std::move(b), owner);
    auto sink = session(Role::server, std::move(b_end), ends);
    auto here = source->open().value();
    auto left = loop.run(owner.accept());
    auto right = out->open().value();
    auto there = loop.run(ends.accept());
    Relay relay(*left, *right);

    const Bytes up = pattern(2'000'000, 1);
    const Bytes down = pattern(1'500'000, 2);
    Bytes got_up;
    Bytes got_down;
    const auto read = [&](Stream& from, Bytes& into, std::size_t size) -> Task<> {
        Bytes buffer(50'000);
        while (into.size() < size) {
            const auto count = co_await from.read_some(buffer);
            REQUIRE(count);
            into.insert(into.end(), buffer.begin(), buffer.begin() + static_cast<long>(*count));
        }
    };
    net::Scope scope(loop.ioc.get_executor());
    scope.spawn("up", [&] { return write_all_of(*here, up, loop.random, 90'000); });
    scope.spawn("down", [&] { return write_all_of(*there, down, loop.random, 900); });
    loop.settle();
    CHECK(relay.held_max <= 2 * 256 * 1024);
    scope.spawn("at the sink", [&] { return read(*there, got_up, up.size()); });
    scope.spawn("at the source", [&] { return read(*here, got_down, down.size()); });
    loop.run(scope.wait_empty());
    CHECK(got_up == up);
    CHECK(got_down == down);
    CHECK(relay.held_max <= 2 * 256 * 1024);
    CHECK(relay.held == 0);

    SECTION("an end goes through") {
        here->close();
        loop.settle();
        Bytes buffer(1);
        CHECK(loop.run(there->read_some(buffer)).value() == 0);
    }
    SECTION("a loss goes through") {
        source->abort(fail(skywire::errc::closed, "gone"));
        loop.settle();
        CHECK(relay.from_a.lost == 1);
        Bytes buffer(1);
        const auto size = loop.run(there->read_some(buffer));
        // smux has one frame for both ends of a stream.
        if (protocol == Protocol::smux) CHECK(size.value() == 0);
        if (protocol == Protocol::yamux) CHECK(size.error() == make_error_code(mux::errc::reset));
    }
    for (auto* one : {&source, &in, &out, &sink})
        loop.run((*one)->close());
}
