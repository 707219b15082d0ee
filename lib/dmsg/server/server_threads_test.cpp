// The server on several event loops, each with a thread of its own: what the thread sanitizer
// looks at. Clients are on the test's loop and come over loopback.

#include "dmsg/server/server_threads_rig.hpp"

#include <array>

#include <boost/asio/ip/tcp.hpp>

namespace skywire::dmsg {
namespace {

using test::start_there;
using test::TestClient;
using test::ThreadsRig;

Task<> send_all(net::Stream& stream, Bytes bytes, std::size_t& done) {
    const auto written = co_await stream.write(bytes);
    CHECK(written);
    ++done;
}

Task<> check_all(net::Stream& stream, Bytes expected, std::size_t& done) {
    const auto read = co_await test::read_exactly(stream, expected.size());
    CHECK(read.has_value());
    if (read) CHECK(*read == expected);
    ++done;
}

}  // namespace

TEST_CASE("server: streams between event loops carry bytes both ways, many at a time") {
    ThreadsRig rig(2);
    // In turn on the loops: a and c on one, b and d on the other.
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    TestClient& c = rig.add("c");
    TestClient& d = rig.add("d");
    std::vector<std::unique_ptr<Stream>> near;
    std::vector<std::unique_ptr<Stream>> far;
    const auto bridge = [&](TestClient& from, TestClient& to) {
        near.push_back(rig.loop.run(from.dial(to.key())).value());
        std::unique_ptr<Stream> accepted;
        rig.loop.run([](TestClient& at, std::unique_ptr<Stream>& into) -> Task<> {
            into = co_await at.accept();
        }(to, accepted));
        far.push_back(std::move(accepted));
    };
    for (int i = 0; i < 4; ++i) {
        bridge(a, b);
        bridge(d, c);
        bridge(a, c);
    }
    std::size_t done = 0;
    for (unsigned i = 0; i < near.size(); ++i) {
        const Bytes up = test::pattern(600'000, i);
        const Bytes down = test::pattern(300'000, i + 100);
        const auto ignore = [](std::exception_ptr error) { CHECK_FALSE(error); };
        asio::co_spawn(rig.loop.ioc, send_all(*near[i], up, done), ignore);
        asio::co_spawn(rig.loop.ioc, send_all(*far[i], down, done), ignore);
        asio::co_spawn(rig.loop.ioc, check_all(*far[i], up, done), ignore);
        asio::co_spawn(rig.loop.ioc, check_all(*near[i], down, done), ignore);
    }
    rig.loop.run_until([&] { return done == 4 * near.size(); });
    for (unsigned i = 0; i < near.size(); ++i) {
        (i % 2 == 0 ? near : far)[i]->close();
        const auto end = rig.loop.run(test::read_end(*(i % 2 == 0 ? far : near)[i]));
        CHECK(end.value() == 0);
    }
}

TEST_CASE("server: its end is an error on both ends of its streams, whatever loops they are on") {
    ThreadsRig rig(2);
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    TestClient& c = rig.add("c");
    std::vector<std::unique_ptr<Stream>> ends;
    for (TestClient* to : {&b, &c}) {
        ends.push_back(rig.loop.run(a.dial(to->key())).value());
        std::unique_ptr<Stream> accepted;
        rig.loop.run([](TestClient& at, std::unique_ptr<Stream>& into) -> Task<> {
            into = co_await at.accept();
        }(*to, accepted));
        ends.push_back(std::move(accepted));
    }
    auto stopped = rig.stop();
    for (const auto& end : ends)
        CHECK(rig.loop.run(test::read_end(*end)).has_error());
    CHECK(stopped.get().empty());
}

TEST_CASE("server: sessions come, are replaced and go on several loops while streams run") {
    ThreadsRig rig(3);
    TestClient& target = rig.add("target");
    for (int round = 0; round < 12; ++round) {
        TestClient& dialer = rig.add("dialer");
        auto near = rig.loop.run(dialer.dial(target.key())).value();
        std::unique_ptr<Stream> far;
        rig.loop.run([](TestClient& at, std::unique_ptr<Stream>& into) -> Task<> {
            into = co_await at.accept();
        }(target, far));
        const Bytes bytes = test::pattern(10'000);
        CHECK(rig.loop.run(test::write_bytes(*near, bytes)));
        CHECK(rig.loop.run(test::read_exactly(*far, bytes.size())).value() == bytes);
        if (round % 3 == 0) {
            near->close();
            CHECK(rig.loop.run(test::read_end(*far)).value() == 0);
        }
        if (round % 3 == 1) rig.loop.run(dialer.close());
        if (round > 0 && round % 3 == 2) {
            // Its successor took the place of the one two rounds ago.
            CHECK(rig.loop.run(dialer.dial(crypto::deterministic_key_pair("x").public_key))
                      .has_error());
        }
    }
}

TEST_CASE("server: who knocks while it stops is hung up on") {
    ThreadsRig rig(1);
    asio::ip::tcp::socket socket(rig.loop.ioc);
    // On the server's loop, which cannot accept before this has returned.
    start_there<std::vector<std::string>>(rig.loops.at(0), [&] {
        socket.connect({asio::ip::address_v4::loopback(), rig.address.port});
        return rig.server->stop(rig.loop.context.clock.now() + std::chrono::seconds(20));
    }).get();
    std::array<char, 1> byte{};
    ErrorCode end;
    CHECK(socket.read_some(asio::buffer(byte), end) == 0);
    CHECK(end);
}

TEST_CASE("server: is taken down in the middle of everything") {
    ThreadsRig rig(2);
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    auto near = rig.loop.run(a.dial(b.key())).value();
    std::size_t ended = 0;
    const auto count = [&ended](std::exception_ptr) { ++ended; };
    asio::co_spawn(
        rig.loop.ioc,
        [](net::Stream& stream) -> Task<> {
            // More than fits anywhere: nobody reads at the other end.
            (void)co_await test::write_bytes(stream, test::pattern(3'000'000));
        }(*near),
        count
    );
    asio::co_spawn(
        rig.loop.ioc,
        [](TestClient& from, TestClient& to) -> Task<> {
            (void)co_await from.dial(to.key());
        }(b, a),
        count
    );
    rig.loop.settle();
    CHECK(rig.stop().get().empty());
    rig.loop.run(a.wait_ended());
    rig.loop.run(b.wait_ended());
    rig.loop.run_until([&] { return ended == 2; });
}

}  // namespace skywire::dmsg
