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

std::string in_brackets(asio::error::basic_errors error) {
    return "[" + ErrorCode(error).message() + "]";
}

/// Reads from `stream` in the background; `text` is what came once it has ended.
struct Reader {
    Reader(Pair& pair, net::Stream& stream) {
        pair.scope.spawn("reader", [this, &stream]() -> Task<> {
            text = co_await Pair::read(stream);
            ended = true;
        });
        pair.world.settle();
    }

    std::string text;
    bool ended = false;
};

}  // namespace

TEST_CASE("cut: bytes and ends vanish without a word, and come after the link is healed") {
    Pair pair;
    Reader reader(pair, *pair.far);
    pair.world.cut(pair.a, pair.b);
    CHECK(pair.world.run(Pair::write(*pair.near, "kept back")));
    pair.near->close();
    CHECK_FALSE(pair.world.run_until([&] { return reader.ended; }, 10min));
    CHECK_THAT(pair.world.waiting(), Contains("a -> b is cut\nb -> a is cut\nb reads from a #1"));
    pair.world.heal(pair.a, pair.b);
    CHECK(pair.world.run_until([&] { return reader.ended; }, 1s));
    CHECK(reader.text == "kept back[end]");
}

TEST_CASE("cut: of one direction; the writer stops for want of acknowledgements") {
    LinkOptions links;
    links.stream_bytes_max = 1000;
    Pair pair(1, links);
    pair.world.cut(pair.a, pair.b, Direction::backward);
    CHECK(pair.world.run(Pair::write(*pair.near, std::string(1000, 'x'))));
    CHECK(pair.world.run(Pair::read(*pair.far, 1000)).size() == 1000);
    bool done = false;
    pair.scope.spawn("writer", [&]() -> Task<> {
        CHECK(co_await Pair::write(*pair.near, "y"));
        done = true;
    });
    CHECK_FALSE(pair.world.run_until([&] { return done; }, 1min));
    pair.world.heal();
    CHECK(pair.world.run_until([&] { return done; }, 1s));
}

TEST_CASE("cut: a sender gives up some day, its peer never learns of it") {
    LinkOptions links;
    links.give_up_after = 30s;
    Pair pair(1, links);
    Reader far(pair, *pair.far);
    Reader near(pair, *pair.near);
    pair.world.isolate(pair.b);
    CHECK(pair.world.run(Pair::write(*pair.near, "lost")));
    pair.world.run_for(29s);
    CHECK_FALSE(near.ended);
    pair.world.run_for(2s);
    CHECK(near.text == in_brackets(asio::error::timed_out));
    pair.world.heal();
    pair.world.run_for(1h);
    CHECK_FALSE(far.ended);
    // Only what it sends itself brings the answer that nobody knows the connection.
    pair.near->close();
    CHECK(pair.world.run(Pair::write(*pair.far, "anybody?")));
    pair.world.run_for(1s);
    CHECK(far.text == in_brackets(asio::error::connection_reset));
}

TEST_CASE("cut: a dial hangs until its deadline, or until the link is healed") {
    World world(1);
    Node& a = world.node("a");
    Node& b = world.node("b");
    const auto listener = b.context().network.listen(world.loop(), b.at(80)).value();
    for (const Direction direction : {Direction::both, Direction::forward, Direction::backward}) {
        world.cut(a, b, direction);
        const auto failed = world.run(net::with_deadline(
            world.clock(),
            world.clock().now() + 5s,
            a.context().network.dial(world.loop(), b.at(80))
        ));
        CHECK(failed.error() == make_error_code(errc::timed_out));
        world.heal();
    }
    world.cut(a, b);
    Result<std::unique_ptr<net::Stream>> dialled = fail(errc::ok, {});
    net::Scope scope(world.loop());
    scope.spawn("dialler", [&]() -> Task<> {
        dialled = co_await a.context().network.dial(world.loop(), b.at(80));
    });
    CHECK_FALSE(world.run_until([&] { return dialled.has_value(); }, 20s));
    CHECK_THAT(world.waiting(), Contains("a dials 10.0.0.2:80"));
    world.heal(a, b);
    CHECK(world.run_until([&] { return dialled.has_value(); }, 20s));
    world.settle();
}

TEST_CASE("reset: both ends fail at once") {
    Pair pair;
    Reader reader(pair, *pair.near);
    REQUIRE(pair.world.run(Pair::write(*pair.near, "on its way")));
    pair.world.reset(pair.b, pair.a);
    pair.world.settle();
    const std::string reset = in_brackets(asio::error::connection_reset);
    CHECK(reader.text == reset);
    CHECK(pair.world.run(Pair::read(*pair.far)) == reset);
    CHECK(
        pair.world.run(Pair::write(*pair.far, "x")).error() ==
        ErrorCode(asio::error::connection_reset)
    );
    CHECK(pair.world.connections() == 0);
}

TEST_CASE("kill: silently; nobody is told before the node is back") {
    Pair pair;
    Reader near(pair, *pair.near);
    Reader far(pair, *pair.far);
    auto& network = pair.b.context().network;
    pair.b.kill();
    CHECK_FALSE(pair.b.alive());
    pair.world.settle();
    CHECK(far.text == "[" + fail(errc::closed, {}).message() + "]");
    CHECK(pair.world.run(pair.listener->accept()).error() == make_error_code(errc::closed));
    const auto from_dead = pair.world.run(network.dial(pair.world.loop(), pair.a.at(1)));
    CHECK(from_dead.error() == make_error_code(errc::unavailable));
    CHECK_FALSE(network.listen(pair.world.loop(), pair.b.at(80)));
    CHECK_FALSE(pair.world.run_until([&] { return near.ended; }, 1h));
    CHECK(pair.world.run(Pair::write(*pair.near, "anybody?")));
    CHECK_FALSE(pair.world.run_until([&] { return near.ended; }, 5min));
    pair.b.start();
    CHECK(pair.world.run_until([&] { return near.ended; }, 1s));
    CHECK(near.text == in_brackets(asio::error::connection_reset));
    // Free again, with nothing of what was.
    pair.listener = network.listen(pair.world.loop(), pair.b.at(80)).value();
    pair.world.run(pair.connect());
    CHECK(pair.near->remote() == pair.b.at(80));
}

TEST_CASE("kill: with resets, and as a kernel does after a process") {
    for (const Death death : {Death::reset, Death::process}) {
        Pair pair;
        Reader near(pair, *pair.near);
        REQUIRE(pair.world.run(Pair::write(*pair.far, "sent before")));
        pair.b.kill(death);
        CHECK(pair.world.run_until([&] { return near.ended; }, 1s));
        const std::string end =
            death == Death::reset ? in_brackets(asio::error::connection_reset) : "[end]";
        CHECK(near.text == "sent before" + end);
        const auto dialled =
            pair.world.run(pair.a.context().network.dial(pair.world.loop(), pair.b.at(80)));
        CHECK(dialled.error() == ErrorCode(asio::error::connection_refused));
    }
}

TEST_CASE("kill: a connection that never came about leaves no end behind") {
    Pair pair;
    pair.world.run_for(1s);
    std::unique_ptr<net::Stream> dialled;
    pair.scope.spawn("dial", [&]() -> Task<> {
        dialled =
            (co_await pair.a.context().network.dial(pair.world.loop(), pair.b.at(80))).value();
        pair.world.cut(pair.a, pair.b);
        CHECK(co_await Pair::write(*dialled, "never seen"));
    });
    pair.world.run_for(1s);
    CHECK(pair.world.connections() == 2);
    dialled.reset();
    pair.a.kill(Death::silent);
    pair.b.kill(Death::silent);
    CHECK(pair.world.connections() == 0);
}

TEST_CASE("kill: a reset that is lost comes again when more is sent") {
    Pair pair;
    Reader reader(pair, *pair.near);
    pair.world.cut(pair.a, pair.b, Direction::backward);
    pair.b.kill(Death::reset);
    pair.world.run_for(1s);
    CHECK_FALSE(reader.ended);
    pair.world.heal();
    CHECK(pair.world.run(Pair::write(*pair.near, "are you there?")));
    CHECK(pair.world.run_until([&] { return reader.ended; }, 1s));
    CHECK(reader.text == in_brackets(asio::error::connection_reset));
}

TEST_CASE("freeze: the kernel takes what comes, the process sees it when it is thawed") {
    Pair pair;
    Reader reader(pair, *pair.far);
    pair.b.freeze();
    CHECK(pair.world.run(Pair::write(*pair.near, "patience")));
    const auto dialled =
        pair.world.run(pair.a.context().network.dial(pair.world.loop(), pair.b.at(80)));
    CHECK(dialled);
    bool accepted = false;
    pair.scope.spawn("acceptor", [&]() -> Task<> {
        CHECK(co_await pair.listener->accept());
        accepted = true;
    });
    pair.near->close();
    CHECK_FALSE(pair.world.run_until([&] { return reader.ended || accepted; }, 1min));
    CHECK_THAT(pair.world.waiting(), Contains("b is frozen"));
    pair.b.thaw();
    CHECK(pair.world.run_until([&] { return reader.ended && accepted; }, 0s));
    CHECK(reader.text == "patience[end]");
}

TEST_CASE("partition: comes and goes by itself; after heal all converges") {
    for (const auto mode :
         {PartitionMode::uniform_size,
          PartitionMode::uniform_partition,
          PartitionMode::isolate_single}) {
        for (const bool symmetric : {true, false}) {
            Pair pair(7);
            PartitionOptions options;
            options.mode = mode;
            options.symmetric = symmetric;
            options.partition_probability = 0.5;
            pair.world.partition(options);
            std::size_t cuts = 0;
            Reader reader(pair, *pair.far);
            std::string sent;
            for (int second = 0; second < 60; ++second) {
                sent += "x";
                CHECK(pair.world.run(Pair::write(*pair.near, "x")));
                pair.world.run_for(1s);
                if (pair.world.waiting().find("is cut") != std::string::npos) ++cuts;
            }
            CHECK(cuts > 0);
            CHECK(cuts < 60);
            pair.world.heal();
            CHECK_THAT(pair.world.waiting(), !Contains("is cut"));
            pair.near->close();
            CHECK(pair.world.run_until([&] { return reader.ended; }, 5s));
            CHECK(reader.text == sent + "[end]");
        }
    }
}

TEST_CASE("links: a default, one link, one direction") {
    Pair pair;
    Node& c = pair.world.node("c");
    LinkOptions slow;
    slow.one_way_delay_min = slow.one_way_delay_mean = 1s;
    pair.world.set_link_one_way(pair.a, pair.b, slow);
    const auto took = [&](Node& from, const net::Address& to) {
        const auto before = pair.world.elapsed();
        (void)pair.world.run(from.context().network.dial(pair.world.loop(), to));
        return pair.world.elapsed() - before;
    };
    CHECK(took(pair.a, pair.b.at(80)) > 1s);
    CHECK(took(c, pair.b.at(80)) < 1s);
    pair.world.set_link(pair.a, pair.b, slow);
    CHECK(took(pair.a, pair.b.at(80)) == 2s);
    pair.world.set_links(slow);
    CHECK(took(c, pair.b.at(80)) == 2s);
}

TEST_CASE("links: what waits for a slow link goes at once when the link is fast again") {
    LinkOptions links;
    links.bytes_per_second = 1000;
    Pair pair(1, links);
    CHECK(pair.world.run(Pair::write(*pair.near, std::string(100'000, 'x'))));
    const Duration before = pair.world.elapsed();
    links.bytes_per_second = 10'000'000;
    pair.world.set_link(pair.a, pair.b, links);
    CHECK(pair.world.run(Pair::read(*pair.far, 100'000)).size() == 100'000);
    CHECK(pair.world.elapsed() - before < 100ms);
    // And what is on its way is not held up by a link that gets worse.
    CHECK(pair.world.run(Pair::write(*pair.near, "soon there")));
    links.bytes_per_second = 1;
    pair.world.set_link(pair.a, pair.b, links);
    CHECK(pair.world.run(Pair::read(*pair.far, 10)) == "soon there");
    CHECK(pair.world.elapsed() - before < 200ms);
}

TEST_CASE("links: what a connection will never send takes nobody's place") {
    LinkOptions links;
    links.bytes_per_second = 1000;
    links.segment_bytes_max = 500;
    Pair pair(1, links);
    pair.world.cut(pair.a, pair.b);
    CHECK(pair.world.run(Pair::write(*pair.near, std::string(100'000, 'x'))));
    pair.far->close();
    pair.world.run_for(10s);
    pair.world.heal();
    const Duration before = pair.world.elapsed();
    // The first segment is answered by a reset.
    pair.world.run_for(5s);
    const auto gone = std::exchange(pair.near, nullptr);
    pair.world.run(pair.connect());
    CHECK(pair.world.elapsed() - before < 7s);
}
