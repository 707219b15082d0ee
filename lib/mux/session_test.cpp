// Sessions against each other: transfers, flow control, ends.

#include "mux/session_rig.hpp"
#include "net/scope.hpp"

using namespace skywire;
using namespace skywire::mux;
using namespace skywire::mux::test;

namespace {

Session::Options options_of(Protocol protocol) {
    Session::Options options;
    options.protocol = protocol;
    return options;
}

/// Sends all of `there` one way and all of `back` the other on one stream, then closes both ends.
Task<> exchange(Stream& a, Stream& b, Bytes there, Bytes back, net::TestLoop& loop) {
    net::Scope scope(loop.ioc.get_executor());
    Bytes got_there;
    Bytes got_back;
    const auto read = [&](Stream& stream, Bytes& into, std::size_t size) -> Task<> {
        while (into.size() < size) {
            Bytes buffer(1 + loop.random.below(100'000));
            const auto count = co_await stream.read_some(buffer);
            REQUIRE(count);
            REQUIRE(*count > 0);
            into.insert(into.end(), buffer.begin(), buffer.begin() + static_cast<long>(*count));
        }
    };
    scope.spawn("a writes", [&] { return write_all_of(a, there, loop.random, 100'000); });
    scope.spawn("b writes", [&] { return write_all_of(b, back, loop.random, 3000); });
    scope.spawn("a reads", [&] { return read(a, got_back, back.size()); });
    scope.spawn("b reads", [&] { return read(b, got_there, there.size()); });
    co_await scope.wait_empty();
    CHECK(got_there == there);
    CHECK(got_back == back);
    a.close();
    b.close();
}

Task<Result<std::size_t>> read_one(Stream& stream, std::span<std::byte> into) {
    return stream.read_some(into);
}

}  // namespace

TEST_CASE("session: megabytes both ways, byte for byte") {
    const auto protocol = GENERATE(Protocol::yamux, Protocol::smux);
    const int carrier = GENERATE(0, 1, 2);
    Pair pair;
    if (carrier == 0) pair.start(options_of(protocol), 65536);
    if (carrier == 1) pair.start(options_of(protocol), 997);
    if (carrier == 2) pair.start_tcp(options_of(protocol));
    auto [here, there] = pair.open();
    pair.loop.run(exchange(*here, *there, pattern(3'000'000, 1), pattern(2'000'000, 2), pair.loop));
    pair.loop.settle();
    CHECK(pair.near->protocol() == protocol);
    if (carrier != 2) CHECK(pair.near->streams() == 0);
    CHECK(!pair.near->ended());
    CHECK(!pair.far->ended());
}

TEST_CASE("session: many streams of both sides at once") {
    const auto protocol = GENERATE(Protocol::yamux, Protocol::smux);
    Pair pair;
    pair.start_tcp(options_of(protocol));
    std::vector<std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>>> streams;
    for (int i = 0; i < 40; ++i) {
        if (i % 2 == 0) {
            streams.push_back(pair.open());
        } else {
            auto there = pair.far->open().value();
            streams.emplace_back(pair.loop.run(pair.client.accept()), std::move(there));
        }
        CHECK(streams.back().first->id() == streams.back().second->id());
    }
    CHECK(pair.near->streams() == 40);
    net::Scope scope(pair.loop.ioc.get_executor());
    for (std::uint32_t i = 0; i < streams.size(); ++i) {
        scope.spawn("exchange", [&, i] {
            auto& [here, there] = streams[i];
            return exchange(*here, *there, pattern(200'000, i), pattern(50'000, i + 99), pair.loop);
        });
    }
    pair.loop.run(scope.wait_empty());
    CHECK(!pair.near->ended());
}

TEST_CASE("session: data may follow the opening at once") {
    Pair pair;
    pair.start();
    auto here = pair.near->open().value();
    const Bytes hello = pattern(1000);
    pair.loop.run(write_all_of(*here, hello, pair.loop.random, 300));
    here->close();
    auto there = pair.loop.run(pair.server.accept());
    CHECK(pair.loop.run(read_all_of(*there, pair.loop.random, 100)) == hello);
}

TEST_CASE("session: a reader that stops does not stall the others") {
    const auto protocol = GENERATE(Protocol::yamux, Protocol::smux);
    Pair pair;
    pair.start(options_of(protocol));
    auto [slow, slow_end] = pair.open();
    auto [fast, fast_end] = pair.open();
    const Bytes bytes = pattern(2'000'000, 5);
    std::optional<Result<>> written;
    net::Scope scope(pair.loop.ioc.get_executor());
    scope.spawn("slow", [&]() -> Task<> { written = co_await slow->write(bytes); });
    pair.loop.settle();
    CHECK(!written);
    // No more than the window is on its way.
    CHECK(slow_end->received() <= 256 * 1024);
    CHECK(slow_end->received() >= 64 * 1024);
    pair.loop.run(exchange(*fast, *fast_end, pattern(3'000'000, 1), pattern(9, 2), pair.loop));
    CHECK(!written);
    CHECK(slow_end->received() <= 256 * 1024);
    Bytes got;
    while (got.size() < bytes.size()) {
        const auto part = pair.loop.run(slow_end->read_queue());
        REQUIRE(part);
        std::vector<ByteSpan> pieces;
        part->gather(pieces, 1'000'000);
        for (const ByteSpan piece : pieces)
            got.insert(got.end(), piece.begin(), piece.end());
        pair.loop.settle();
    }
    CHECK(got == bytes);
    REQUIRE(written);
    CHECK(*written);
}

TEST_CASE("session: what is queued goes out by reference, in order") {
    Pair pair;
    pair.start();
    auto [here, there] = pair.open();
    const Bytes bytes = pattern(700'000, 3);
    net::Scope scope(pair.loop.ioc.get_executor());
    scope.spawn("writer", [&]() -> Task<> {
        for (std::size_t at = 0; at < bytes.size(); at += 100'000) {
            ByteQueue queue;
            queue.append(Slice::copy_of(ByteSpan(bytes).subspan(at, 100'000)));
            const auto written = co_await here->write(std::move(queue));
            REQUIRE(written);
        }
        here->close();
    });
    CHECK(pair.loop.run(read_all_of(*there, pair.loop.random, 50'000)) == bytes);
    pair.loop.run(scope.wait_empty());
}

TEST_CASE("session: a cancelled read loses nothing") {
    Pair pair;
    pair.start();
    auto [here, there] = pair.open();
    const Bytes bytes = pattern(300'000, 8);
    net::Scope writers(pair.loop.ioc.get_executor());
    writers.spawn("writer", [&]() -> Task<> {
        for (std::size_t at = 0; at < bytes.size(); at += 500) {
            const auto written = co_await here->write(ByteSpan(bytes).subspan(at, 500));
            REQUIRE(written);
            for (std::uint64_t i = pair.loop.random.below(40); i > 0; --i)
                co_await asio::post(pair.loop.ioc.get_executor(), asio::use_awaitable);
        }
        here->close();
    });
    Bytes got;
    bool end = false;
    std::size_t cancelled = 0;
    while (!end) {
        Bytes buffer(1 + pair.loop.random.below(2000));
        std::optional<Result<std::size_t>> size;
        net::Scope readers(pair.loop.ioc.get_executor());
        readers.spawn("reader", [&]() -> Task<> { size = co_await there->read_some(buffer); });
        for (std::uint64_t i = pair.loop.random.below(12); i > 0 && !size; --i)
            pair.loop.ioc.poll_one();
        if (!size) readers.cancel();
        pair.loop.run(readers.wait_empty());
        REQUIRE(size);
        if (!*size) {
            CHECK(size->error() == make_error_code(skywire::errc::cancelled));
            ++cancelled;
            continue;
        }
        end = **size == 0;
        got.insert(got.end(), buffer.begin(), buffer.begin() + static_cast<long>(**size));
    }
    CHECK(cancelled > 0);
    CHECK(got == bytes);
    pair.loop.run(writers.wait_empty());
}

TEST_CASE("session: a cancelled write resets its stream and no other") {
    Pair pair;
    pair.start();
    auto [here, there] = pair.open();
    auto [other, other_end] = pair.open();
    const Bytes bytes = pattern(1'000'000);
    std::optional<Result<>> written;
    net::Scope scope(pair.loop.ioc.get_executor());
    scope.spawn("writer", [&]() -> Task<> { written = co_await here->write(bytes); });
    pair.loop.settle();
    CHECK(!written);
    scope.cancel();
    pair.loop.settle();
    REQUIRE(written);
    CHECK(written->error() == make_error_code(skywire::errc::cancelled));
    // What came before the reset can still be read.
    Bytes buffer(1'000'000);
    const auto before = pair.loop.run(read_one(*there, buffer));
    REQUIRE(before);
    CHECK(std::equal(buffer.begin(), buffer.begin() + static_cast<long>(*before), bytes.begin()));
    CHECK(pair.loop.run(read_one(*there, buffer)).error() == make_error_code(mux::errc::reset));
    const auto refused = pair.loop.run(there->write(as_bytes("x")));
    CHECK(refused.error() == make_error_code(mux::errc::reset));
    pair.loop.run(exchange(*other, *other_end, pattern(1000), pattern(1000), pair.loop));
}

TEST_CASE("session: an end is followed by nothing, the other direction goes on") {
    const auto protocol = GENERATE(Protocol::yamux, Protocol::smux);
    Pair pair;
    pair.start(options_of(protocol));
    auto [here, there] = pair.open();
    CHECK(pair.loop.run(here->write(as_bytes("last words"))));
    here->close();
    here->close();
    const Bytes got = pair.loop.run(read_all_of(*there, pair.loop.random, 4));
    CHECK(as_text(got) == "last words");
    Bytes buffer(10);
    CHECK(pair.loop.run(read_one(*here, buffer)).error() == make_error_code(skywire::errc::closed));
    CHECK(pair.loop.run(here->write(buffer)).error() == make_error_code(skywire::errc::closed));
    // The peer may still write; nobody reads it, and its window comes back.
    if (protocol == Protocol::yamux) {
        CHECK(pair.loop.run(there->write(pattern(1'000'000))));
    }
    there->close();
    pair.loop.settle();
    CHECK(pair.near->streams() == 0);
    CHECK(pair.far->streams() == 0);
    CHECK(!pair.near->ended());
    CHECK(!pair.far->ended());
}

TEST_CASE("session: where there is no half-close a write does not outlive the peer's end") {
    Pair pair;
    pair.start();
    auto [here, there] = pair.open();
    there->end_with_peer();
    CHECK(pair.loop.run(here->write(as_bytes("unread"))));
    // The window is used up, nobody reads: the write waits.
    const Bytes much = pattern(1'000'000);
    std::optional<Result<>> written;
    net::Scope scope(pair.loop.ioc.get_executor());
    scope.spawn("write", [&, stream = there.get()]() -> Task<> {
        written = co_await stream->write(much);
    });
    pair.loop.settle();
    REQUIRE_FALSE(written);
    here->close();
    pair.loop.run_until([&] { return scope.size() == 0; });
    CHECK(written->error() == make_error_code(skywire::errc::closed));
    CHECK(pair.loop.run(there->write(much)).error() == make_error_code(skywire::errc::closed));
    CHECK(there->received() > 0);
    // What came before the end is there all the same.
    CHECK(as_text(pair.loop.run(read_all_of(*there, pair.loop.random, 4))) == "unread");
    there->close();
    pair.loop.settle();
    CHECK(pair.near->streams() == 0);
    CHECK(pair.far->streams() == 0);
}

TEST_CASE("session: a closed stream sends what is queued even when it is dropped") {
    Pair pair;
    pair.start();
    auto [here, there] = pair.open();
    const Bytes bytes = pattern(1'000'000, 4);
    ByteQueue queue;
    queue.append(Slice::copy_of(bytes));
    here->push(std::move(queue));
    here->close();
    here.reset();
    CHECK(pair.loop.run(read_all_of(*there, pair.loop.random, 100'000)) == bytes);
    there->close();
    pair.loop.settle();
    CHECK(pair.near->streams() == 0);
}

TEST_CASE("session: a dropped stream is reset, a refused one too") {
    Pair pair;
    pair.start();
    auto [here, there] = pair.open();
    here.reset();
    Bytes buffer(10);
    CHECK(pair.loop.run(read_one(*there, buffer)).error() == make_error_code(mux::errc::reset));
    CHECK(pair.near->streams() == 0);
    CHECK(pair.far->streams() == 0);
    pair.server.refuse = true;
    auto refused = pair.near->open().value();
    CHECK(pair.loop.run(read_one(*refused, buffer)).error() == make_error_code(mux::errc::reset));
}

TEST_CASE("session: close cuts a write and a read that are under way") {
    Pair pair;
    pair.start();
    auto [here, there] = pair.open();
    Bytes buffer(10);
    const Bytes bytes = pattern(1'000'000);
    std::optional<Result<>> written;
    std::optional<Result<std::size_t>> size;
    net::Scope scope(pair.loop.ioc.get_executor());
    scope.spawn("writer", [&]() -> Task<> { written = co_await here->write(bytes); });
    scope.spawn("reader", [&]() -> Task<> { size = co_await here->read_some(buffer); });
    pair.loop.settle();
    CHECK(!written);
    CHECK(!size);
    here->close();
    pair.loop.run(scope.wait_empty());
    CHECK(written->error() == make_error_code(skywire::errc::closed));
    CHECK(size->error() == make_error_code(skywire::errc::closed));
    // A short end must not look like the end.
    Bytes all(1'000'000);
    const auto before = pair.loop.run(read_one(*there, all));
    CHECK(before);
    CHECK(pair.loop.run(read_one(*there, all)).error() == make_error_code(mux::errc::reset));
}

TEST_CASE("session: gone away") {
    Pair pair;
    pair.start();
    auto [here, there] = pair.open();
    pair.far->go_away();
    pair.far->go_away();
    pair.loop.settle();
    CHECK(pair.client.go_aways == 1);
    CHECK(pair.near->open().error() == make_error_code(mux::errc::going_away));
    CHECK(pair.far->open().error() == make_error_code(mux::errc::going_away));
    // What is open goes on.
    pair.loop.run(exchange(*here, *there, pattern(500'000), pattern(5000), pair.loop));
    CHECK(pair.client.ends == 0);
}

TEST_CASE("session: too many streams are refused, and counted") {
    Pair pair;
    Session::Options few;
    few.core.streams_max = 2;
    auto [a, b] = net::make_pipe(pair.loop.ioc.get_executor());
    pair.near = pair.make(Role::client, std::move(a), {}, pair.client);
    pair.far = pair.make(Role::server, std::move(b), few, pair.server);
    auto first = pair.open();
    auto second = pair.open();
    auto third = pair.near->open().value();
    Bytes buffer(10);
    CHECK(pair.loop.run(read_one(*third, buffer)).error() == make_error_code(mux::errc::reset));
    CHECK(pair.server.refused == 1);
    CHECK(pair.far->open().error() == make_error_code(mux::errc::too_many_streams));
}

TEST_CASE("session: ping") {
    Pair pair;
    pair.start();
    CHECK(pair.loop.run(pair.near->ping()));
    CHECK(pair.loop.run(pair.far->ping()));
    net::Scope scope(pair.loop.ioc.get_executor());
    std::optional<Result<Duration>> first;
    std::optional<Result<Duration>> second;
    scope.spawn("first", [&]() -> Task<> { first = co_await pair.near->ping(); });
    scope.spawn("second", [&]() -> Task<> { second = co_await pair.near->ping(); });
    pair.loop.run(scope.wait_empty());
    CHECK(*first);
    CHECK(*second);

    Pair smux;
    smux.start(options_of(Protocol::smux));
    const auto unsupported = smux.loop.run(smux.near->ping());
    CHECK(unsupported.error() == make_error_code(skywire::errc::unsupported));
}

TEST_CASE("session: a ping that is not answered ends with its caller or the session") {
    const bool by_caller = GENERATE(true, false);
    Pair pair;
    pair.start_raw();
    std::optional<Result<Duration>> result;
    net::Scope scope(pair.loop.ioc.get_executor());
    scope.spawn("ping", [&]() -> Task<> { result = co_await pair.far->ping(); });
    pair.loop.settle();
    CHECK(!result);
    if (by_caller) {
        scope.cancel();
    } else {
        pair.raw->close();
    }
    pair.loop.run(scope.wait_empty());
    REQUIRE(result);
    if (by_caller) {
        CHECK(result->error() == make_error_code(skywire::errc::cancelled));
    } else {
        CHECK(result->error() == make_error_code(mux::errc::session_ended));
    }
}

TEST_CASE("session: the peer's first byte says which protocol it is") {
    const auto protocol = GENERATE(Protocol::yamux, Protocol::smux);
    const bool early = GENERATE(true, false);
    Pair pair;
    auto [a, b] = net::make_pipe(pair.loop.ioc.get_executor());
    Session::Options any;
    any.protocol.reset();
    if (early) {
        // The first byte came with something before the session.
        any.surplus = skywire::test::hex(protocol == Protocol::yamux ? "00" : "02");
        Bytes one(1);
        pair.near = pair.make(Role::client, std::move(a), options_of(protocol), pair.client);
        auto here = pair.near->open().value();
        const auto skip = [&]() -> Task<> {
            const auto size = co_await b->read_some(one);
            REQUIRE(size);
        };
        pair.loop.run(skip());
        CHECK(one == any.surplus);
        pair.far = pair.make(Role::server, std::move(b), any, pair.server);
        CHECK(!pair.far->protocol());
        auto there = pair.loop.run(pair.server.accept());
        CHECK(pair.far->protocol() == protocol);
        pair.loop.run(exchange(*here, *there, pattern(99'999), pattern(99'999), pair.loop));
    } else {
        pair.near = pair.make(Role::client, std::move(a), options_of(protocol), pair.client);
        pair.far = pair.make(Role::server, std::move(b), any, pair.server);
        pair.far->go_away();
        pair.loop.settle();
        CHECK(!pair.far->protocol());
        CHECK(pair.client.go_aways == 0);
        auto here = pair.near->open().value();
        pair.loop.settle();
        CHECK(pair.far->protocol() == protocol);
        CHECK(pair.server.refused == 1);
        CHECK(pair.client.go_aways == (protocol == Protocol::yamux ? 1 : 0));
    }
}

TEST_CASE("session: or its own side does") {
    Session::Options any;
    any.protocol.reset();
    Pair pair;
    pair.start_raw(any);
    const auto undecided = pair.loop.run(pair.far->ping());
    CHECK(undecided.error() == make_error_code(skywire::errc::unsupported));
    SECTION("by opening a stream") {
        auto stream = pair.far->open().value();
        CHECK(pair.far->protocol() == Protocol::yamux);
        CHECK(pair.heard() == "000100010000000200000000");
        CHECK(pair.far->streams() == 1);
    }
    SECTION("by decision, once") {
        pair.far->decide(Protocol::smux);
        pair.far->decide(Protocol::yamux);
        CHECK(pair.far->protocol() == Protocol::smux);
    }
    SECTION("a byte of neither") {
        pair.say(as_bytes("GET / HTTP/1.1\r\n"));
        CHECK(pair.server.ends == 1);
        CHECK(pair.server.end == make_error_code(mux::errc::bad_frame));
        CHECK(pair.server.end.message() == "the first byte, 71, belongs to no multiplexer");
    }
}
