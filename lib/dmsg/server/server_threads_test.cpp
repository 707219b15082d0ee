// The server on several event loops, each with a thread of its own: what the thread sanitizer
// looks at. Clients are on the test's loop and come over loopback.

#include "dmsg/server.hpp"
#include "dmsg/server/server_rig.hpp"
#include "net/event_loops.hpp"

#include <future>

namespace skywire::dmsg {
namespace {

using namespace std::chrono_literals;
using test::FakeDiscovery;
using test::TestClient;

const crypto::KeyPair kServerKeys = crypto::deterministic_key_pair("server");

/// Runs a coroutine on another thread's loop and waits for it.
template <class T>
T run_there(const Executor& loop, std::function<Task<T>()> work) {
    std::promise<T> promise;
    asio::co_spawn(loop, work(), [&promise](std::exception_ptr error, T value) {
        if (error) {
            promise.set_exception(error);
        } else {
            promise.set_value(std::move(value));
        }
    });
    return promise.get_future().get();
}

struct ThreadsRig {
    explicit ThreadsRig(std::size_t loop_count) : loops(loop_count) {
        loops.start();
        run_there<bool>(loops.at(0), [this] { return begin(); });
    }
    ~ThreadsRig() {
        for (const auto& client : clients)
            loop.run(client->close());
        CHECK(stop().empty());
        run_there<bool>(loops.at(0), [this]() -> Task<bool> {
            server.reset();
            co_return true;
        });
        loops.join();
    }

    Task<bool> begin() {
        ServerOptions options(kServerKeys);
        for (std::size_t i = 0; i < loops.size(); ++i)
            options.loops.push_back(loops.at(i));
        options.address = "127.0.0.1:1";
        net::Context context = loop.context;
        context.loop = loops.at(0);
        auto listener =
            std::move(context.network.listen(context.loop, net::Address::tcp("127.0.0.1", 0)))
                .value();
        address = listener->local();
        server.emplace(context, std::move(options), std::make_unique<FakeDiscovery>(discovery));
        server->start([] {});
        server->serve(std::move(listener));
        co_return true;
    }

    std::vector<std::string> stop() {
        return run_there<std::vector<std::string>>(loops.at(0), [this] {
            return server->stop(loop.context.clock.now() + 10s);
        });
    }

    TestClient& add(std::string_view seed) {
        clients.push_back(std::make_unique<TestClient>(loop.context, seed));
        loop.run(join(*clients.back()));
        return *clients.back();
    }

    Task<> join(TestClient& client) {
        auto carrier = co_await loop.context.network.dial(loop.context.loop, address);
        const auto connected =
            co_await client.connect(std::move(carrier.value()), kServerKeys.public_key);
        CHECK(connected);
        // The server enters the session a moment after the client's handshake has ended.
        while ((co_await client.session().mux().ping()).has_error())
            if (client.ended()) break;
    }

    std::unique_ptr<Stream> dial(TestClient& from, TestClient& to) {
        auto stream = loop.run(from.dial(to.key()));
        if (!stream) throw ErrorException(stream.error());
        return std::move(*stream);
    }

    net::TestLoop loop;
    net::EventLoops loops;
    test::DiscoveryState discovery;
    net::Address address;
    std::optional<Server> server;
    std::vector<std::unique_ptr<TestClient>> clients;
};

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
        near.push_back(rig.dial(from, to));
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

TEST_CASE("server: sessions come, are replaced and go on several loops while streams run") {
    ThreadsRig rig(3);
    TestClient& target = rig.add("target");
    for (int round = 0; round < 12; ++round) {
        TestClient& dialer = rig.add("dialer");
        auto near = rig.dial(dialer, target);
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

TEST_CASE("server: is taken down in the middle of everything") {
    ThreadsRig rig(2);
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    auto near = rig.dial(a, b);
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
    CHECK(rig.stop().empty());
    rig.loop.run(a.wait_ended());
    rig.loop.run(b.wait_ended());
    rig.loop.run_until([&] { return ended == 2; });
}

}  // namespace skywire::dmsg
