#include "net/deadline.hpp"
#include "sim/test.hpp"
#include "sim/test_pair.hpp"

#include <boost/asio/error.hpp>

using namespace skywire;
using namespace skywire::sim;
using namespace std::chrono_literals;
using Catch::Contains;
using skywire::sim::test::Pair;

namespace {

std::string pattern(std::size_t size) {
    std::string text(size, ' ');
    for (std::size_t i = 0; i < size; ++i)
        text[i] = static_cast<char>(i * 131 % 251);
    return text;
}

LinkOptions fixed_delay(Duration delay) {
    LinkOptions links;
    links.one_way_delay_min = links.one_way_delay_mean = delay;
    return links;
}

}  // namespace

TEST_CASE("stream: both ends know both addresses") {
    Pair pair;
    CHECK(pair.near->remote() == pair.b.at(80));
    CHECK(pair.far->local() == pair.b.at(80));
    CHECK(pair.far->remote() == pair.near->local());
    CHECK(pair.near->local().host == pair.a.ip());
    CHECK(pair.near->local().port != 0);
}

TEST_CASE("stream: bytes arrive in order, however they are cut, delayed and lost") {
    for_each_seed(5, [](std::uint64_t seed) {
        Pair pair(seed, LinkOptions::rough());
        const std::string sent = pattern(600'000);
        Result<> written;
        pair.scope.spawn("writer", [&]() -> Task<> {
            written = co_await Pair::write(*pair.near, sent);
            pair.near->close();
        });
        const std::string received = pair.world.run(Pair::read(*pair.far));
        CHECK(received == sent + "[end]");
        CHECK(written);
    });
}

TEST_CASE("stream: delay and bandwidth take their time") {
    LinkOptions links = fixed_delay(10ms);
    links.bytes_per_second = 1000;
    Pair pair(1, links);
    CHECK(pair.world.elapsed() == 30ms);
    REQUIRE(pair.world.run(Pair::write(*pair.near, pattern(5000))));
    CHECK(pair.world.elapsed() == 30ms);
    CHECK(pair.world.run(Pair::read(*pair.far, 5000)) == pattern(5000));
    CHECK(pair.world.elapsed() == 5040ms);
}

TEST_CASE("stream: a writer waits while nobody reads, and holds no more than its bound") {
    LinkOptions links;
    links.stream_bytes_max = 1000;
    Pair pair(1, links);
    bool done = false;
    pair.scope.spawn("writer", [&]() -> Task<> {
        CHECK(co_await Pair::write(*pair.near, pattern(2500)));
        done = true;
    });
    CHECK_FALSE(pair.world.run_until([&] { return done; }, 1min));
    CHECK_THAT(pair.world.waiting(), Contains("a writes to b #1"));
    CHECK(pair.world.run(Pair::read(*pair.far, 1499)).size() == 1499);
    CHECK_FALSE(pair.world.run_until([&] { return done; }, 1min));
    CHECK(pair.world.run(Pair::read(*pair.far, 1)).size() == 1);
    CHECK(pair.world.run_until([&] { return done; }, 1min));
    CHECK(pair.world.run(Pair::read(*pair.far, 1000)) == pattern(2500).substr(1500));
}

TEST_CASE("stream: close ends both directions, the peer reads what was sent and then the end") {
    Pair pair;
    Result<std::size_t> ended = std::size_t{1};
    pair.scope.spawn("reader", [&]() -> Task<> {
        Bytes buffer(10);
        ended = co_await pair.near->read_some(buffer);
    });
    REQUIRE(pair.world.run(Pair::write(*pair.near, "last words")));
    pair.near->close();
    pair.near->close();
    CHECK(pair.world.run(Pair::read(*pair.near)) == "[" + fail(errc::closed, {}).message() + "]");
    pair.world.settle();
    CHECK(ended.error() == make_error_code(errc::closed));
    CHECK(pair.world.run(Pair::write(*pair.near, "x")).error() == make_error_code(errc::closed));
    CHECK(pair.world.run(Pair::read(*pair.far)) == "last words[end]");
    CHECK(pair.world.run(Pair::read(*pair.far)) == "[end]");
    // The first write meets a closed end and brings a reset, the next one sees it.
    CHECK(pair.world.run(Pair::write(*pair.far, "x")));
    pair.world.run_for(1s);
    CHECK(
        pair.world.run(Pair::write(*pair.far, "x")).error() == ErrorCode(asio::error::broken_pipe)
    );
}

TEST_CASE("stream: closing with bytes unread resets the connection") {
    Pair pair;
    REQUIRE(pair.world.run(Pair::write(*pair.near, "unread")));
    REQUIRE(pair.world.run(Pair::write(*pair.far, "answer")));
    pair.world.run_for(1s);
    pair.far->close();
    pair.world.run_for(1s);
    const std::string reset = ErrorCode(asio::error::connection_reset).message();
    CHECK(pair.world.run(Pair::read(*pair.near)) == "answer[" + reset + "]");
    CHECK(
        pair.world.run(Pair::write(*pair.near, "x")).error() ==
        ErrorCode(asio::error::connection_reset)
    );
}

TEST_CASE("stream: a cancelled read loses nothing, a deadline ends a write") {
    LinkOptions links;
    links.stream_bytes_max = 100;
    Pair pair(1, links);
    Bytes buffer(10);
    auto& clock = pair.world.clock();
    const auto late =
        pair.world.run(net::with_deadline(clock, clock.now() + 1s, pair.far->read_some(buffer)));
    CHECK(late.error() == make_error_code(errc::timed_out));
    const auto stopped = pair.world.run(
        net::with_deadline(clock, clock.now() + 1s, Pair::write(*pair.near, pattern(101)))
    );
    CHECK(stopped.error() == make_error_code(errc::timed_out));
    CHECK(pair.world.run(Pair::read(*pair.far, 100)) == pattern(101).substr(0, 100));
}

TEST_CASE("stream: wait_readable waits without a buffer") {
    Pair pair;
    bool readable = false;
    pair.scope.spawn("waiter", [&]() -> Task<> {
        CHECK(co_await pair.far->wait_readable());
        readable = true;
    });
    CHECK_FALSE(pair.world.run_until([&] { return readable; }, 1min));
    REQUIRE(pair.world.run(Pair::write(*pair.near, "x")));
    CHECK(pair.world.run_until([&] { return readable; }, 1s));
    CHECK(pair.world.run(Pair::read(*pair.far, 1)) == "x");
    pair.far->close();
    CHECK(pair.world.run(pair.far->wait_readable()).error() == make_error_code(errc::closed));
}

TEST_CASE("stream: listening") {
    World world(1);
    Node& a = world.node("a");
    auto& network = a.context().network;
    const auto listen = [&](const net::Address& at) { return network.listen(world.loop(), at); };
    const auto any = listen(net::Address::tcp("", 0));
    REQUIRE(any);
    CHECK((*any)->local().host.empty());
    CHECK((*any)->local().port >= 32768);
    const auto again = listen(a.at((*any)->local().port));
    REQUIRE_FALSE(again);
    CHECK(again.error() == ErrorCode(asio::error::address_in_use));
    CHECK_THAT(again.error().message(), Contains("listen on 10.0.0.1:"));
    (*any)->close();
    CHECK(listen(a.at((*any)->local().port)));
    CHECK(listen(net::Address::tcp("127.0.0.1", 0)));
    CHECK(listen(net::Address::tcp("a", 0)));
    CHECK_FALSE(listen(net::Address::tcp("10.9.9.9", 0)));
    CHECK(listen(net::Address::unix_path("/x")).error() == make_error_code(errc::unsupported));
    const auto accepted = world.run((*any)->accept());
    CHECK(accepted.error() == make_error_code(errc::closed));
}

TEST_CASE("stream: a listener resets what it has not handed out") {
    Pair pair;
    auto& network = pair.a.context().network;
    const auto waiting = pair.world.run(network.dial(pair.world.loop(), pair.b.at(80)));
    REQUIRE(waiting);
    REQUIRE(pair.world.run(Pair::write(**waiting, "hello")));
    pair.world.run_for(1s);
    pair.listener->close();
    pair.world.run_for(1s);
    const std::string reset = ErrorCode(asio::error::connection_reset).message();
    CHECK(pair.world.run(Pair::read(**waiting)) == "[" + reset + "]");
}

TEST_CASE("stream: dialling") {
    Pair pair;
    World& world = pair.world;
    auto& network = pair.a.context().network;
    const auto dial = [&](std::string host, std::uint16_t port) {
        return world.run(network.dial(world.loop(), net::Address::tcp(std::move(host), port)));
    };
    CHECK(dial("b", 80));
    CHECK(dial("b", 81).error() == ErrorCode(asio::error::connection_refused));
    CHECK_THAT(dial("b", 81).error().message(), Contains("dial b:81: Connection refused"));
    CHECK_THAT(dial("c", 80).error().message(), Contains("dial c:80: resolve \"c\""));
    CHECK(dial("localhost", 80).error() == ErrorCode(asio::error::connection_refused));
    // The first address refuses, the second one answers.
    world.name("both.example", pair.a);
    world.name("both.example", pair.b);
    CHECK(dial("both.example", 80).value()->remote() == pair.b.at(80));
    const auto before = world.elapsed();
    CHECK(dial("10.99.0.1", 80).error() == ErrorCode(asio::error::timed_out));
    CHECK(world.elapsed() - before == 127s);
}

TEST_CASE("stream: loopback is the node itself and no one else's") {
    World world(1);
    Node& a = world.node("a");
    Node& b = world.node("b");
    const auto local =
        a.context().network.listen(world.loop(), net::Address::tcp("127.0.0.1", 80)).value();
    const auto from = [&](Node& node, const net::Address& to) {
        return world.run(node.context().network.dial(world.loop(), to));
    };
    const auto stream = from(a, net::Address::tcp("localhost", 80));
    REQUIRE(stream);
    CHECK((*stream)->local().host == "127.0.0.1");
    CHECK_FALSE(from(b, net::Address::tcp("127.0.0.1", 80)));
    CHECK_FALSE(from(b, a.at(80)));
    CHECK(world.elapsed() < 1s);
}
