// A client between real servers, in virtual time: sessions, dials, listeners.

#include "dmsg/client.hpp"

#include "dmsg/client/client_rig.hpp"
#include "dmsg/code.hpp"
#include "mux/error.hpp"

namespace skywire::dmsg {
namespace {

using test::key_of;
using test::Rig;
using test::Running;
using namespace std::chrono_literals;

const auto kAll = [](ClientOptions& options) { options.sessions_min = 0; };

struct Pair {
    std::unique_ptr<net::Stream> near;
    std::unique_ptr<net::Stream> far;
    void close() {
        near->close();
        far->close();
    }
};

Pair connect(Rig& rig, Client& from, const std::string& to, net::Listener& listener) {
    auto near = rig.dial(from, to, listener.local().port);
    REQUIRE(near);
    auto far = rig.world.run(listener.accept());
    REQUIRE(far);
    return {std::move(*near), std::move(*far)};
}

TEST_CASE("client: is ready once a session stands and its entry names it") {
    Rig rig;
    rig.start_server("s1");
    rig.wait_registered("s1");
    Client& client = rig.start_client("alice");
    CHECK_FALSE(client.ready());
    CHECK_THAT(client.trouble(), Catch::Contains("no session"));
    int changes = 0;
    client.on_change([&] { ++changes; });
    REQUIRE(rig.world.run(client.wait_ready()));
    CHECK(client.ready());
    CHECK(changes == 1);
    CHECK(client.trouble().empty());
    CHECK(client.servers() == std::vector{key_of("s1")});
    CHECK(rig.delegated("alice") == std::vector{key_of("s1")});
    CHECK(rig.memory.entries.at(key_of("alice")).sequence == 0);
    CHECK(rig.gauge("alice", "dmsg_client_sessions") == 1);
    CHECK(rig.counted("alice", "dmsg_client_session_dials_total", "outcome", "ok") == 1);
    rig.stop_client("alice");
    CHECK_FALSE(rig.memory.entries.contains(key_of("alice")));
    CHECK(rig.gauge("alice", "dmsg_client_sessions") == 0);
}

TEST_CASE("client: streams are dialled both ways and carry megabytes") {
    Rig rig;
    rig.start_server("s1");
    Client& alice = rig.add_client("alice");
    Client& bob = rig.add_client("bob");
    const auto at_alice = alice.listen(80).value();
    const auto at_bob = bob.listen(0).value();
    CHECK(at_alice->local() == net::Address::tcp(key_of("alice").to_text(), 80));
    CHECK(at_bob->local().port == 49153);
    auto there = connect(rig, alice, "bob", *at_bob);
    auto back = connect(rig, bob, "alice", *at_alice);
    CHECK(there.far->remote().host == key_of("alice").to_text());
    CHECK(there.far->remote() == there.near->local());
    CHECK(there.near->remote() == at_bob->local());
    CHECK(rig.gauge("alice", "dmsg_client_streams") == 2);
    rig.exchange(*there.near, *there.far, 3'000'000);
    rig.exchange(*back.near, *back.far, 1000);
    there.near->close();
    CHECK(rig.world.run(test::read_exactly(*there.far, 1)).value().empty());
    there.far->close();
    back.close();
}

TEST_CASE("client: smux sessions do as well") {
    Rig rig;
    rig.start_server("s1");
    const auto smux = [](ClientOptions& options) { options.protocol = "smux"; };
    Client& alice = rig.add_client("alice", smux);
    rig.add_client("bob");
    CHECK(rig.memory.entries.at(key_of("alice")).protocol == "smux");
    const auto at_bob = rig.client("bob").listen(80).value();
    auto pair = connect(rig, alice, "bob", *at_bob);
    rig.exchange(*pair.near, *pair.far, 100'000);
    pair.close();
}

TEST_CASE("client: a port is one listener's; what nobody accepts is bounded") {
    Rig rig;
    rig.start_server("s1");
    Client& alice = rig.add_client("alice");
    Client& bob = rig.add_client("bob", [](ClientOptions& options) { options.backlog_max = 2; });
    auto listener = bob.listen(80).value();
    CHECK(bob.listen(80).error() == make_error_code(Code::port_occupied));
    auto first = rig.dial(alice, "bob", 80).value();
    auto second = rig.dial(alice, "bob", 80).value();
    CHECK(rig.dial(alice, "bob", 80).has_error());
    CHECK(rig.counted("bob", "dmsg_client_incoming_total", "outcome", "accept_queue_full") >= 1);
    auto accepted = rig.world.run(listener->accept()).value();
    auto third = rig.dial(alice, "bob", 80).value();
    rig.exchange(*first, *accepted);

    Running<Result<std::unique_ptr<net::Stream>>> last(rig.world, listener->accept());
    rig.world.settle();
    CHECK(last.ended());
    Running<Result<std::unique_ptr<net::Stream>>> more(rig.world, listener->accept());
    rig.world.settle();
    REQUIRE(more.result());
    Running<Result<std::unique_ptr<net::Stream>>> waiting(rig.world, listener->accept());
    rig.world.settle();
    CHECK_FALSE(waiting.ended());
    listener->close();
    rig.world.settle();
    REQUIRE(waiting.result());
    CHECK(waiting.result()->error() == make_error_code(skywire::errc::closed));
    CHECK(bob.listen(80));
}

TEST_CASE("client: a port without a listener, a key without an entry, an entry without servers") {
    Rig rig;
    rig.start_server("s1");
    Client& alice = rig.add_client("alice");
    rig.add_client("bob");
    const auto no_listener = rig.dial(alice, "bob", 81);
    REQUIRE(no_listener.has_error());
    CHECK_THAT(no_listener.error().message(), Catch::Contains(key_of("s1").to_text()));
    CHECK(rig.counted("bob", "dmsg_client_incoming_total", "outcome", "no_listener") >= 1);
    const auto unknown = rig.dial(alice, "nobody", 80);
    CHECK(unknown.error() == make_error_code(Code::entry_not_found));
    CHECK_THAT(unknown.error().message(), Catch::Contains("dmsg error 100"));
    Entry idle;
    idle.static_key = key_of("idle");
    idle.client = ClientInfo{std::vector<crypto::PublicKey>()};
    rig.memory.entries[idle.static_key] = idle;
    CHECK(rig.dial(alice, "idle", 80).error() == make_error_code(Code::no_delegated_servers));
    CHECK(rig.dial(alice, "bob", 0).error() == make_error_code(Code::request_destination_port));
    CHECK(rig.world.run(alice.dial({crypto::PublicKey(), 80})).has_error());
}

TEST_CASE("client: a destination at another server is reached through a new session") {
    Rig rig;
    rig.start_server("s1");
    Client& alice = rig.add_client("alice");
    rig.start_server("s2");
    rig.wait_registered("s2");
    Client& bob = rig.start_client("bob", [&](ClientOptions& options) {
        options.servers = {rig.server_entry("s2")};
    });
    rig.world.run(bob.wait_ready()).value();
    CHECK(rig.delegated("bob") == std::vector{key_of("s2")});
    const auto listener = bob.listen(80).value();
    auto pair = connect(rig, alice, "bob", *listener);
    rig.exchange(*pair.near, *pair.far);
    CHECK(alice.servers().size() == 2);
    // It was made for one stream: our entry does not promise it, and it goes when it is idle.
    rig.world.run_for(10s);
    CHECK(rig.delegated("alice") == std::vector{key_of("s1")});
    pair.close();
    REQUIRE(rig.world.run_until([&] { return alice.servers().size() == 1; }, 10min));
    CHECK(alice.servers() == std::vector{key_of("s1")});
    CHECK(rig.counted("alice", "dmsg_client_sessions_ended_total", "reason", "idle") == 1);
}

TEST_CASE("client: with all servers wanted a new one is found and joined") {
    Rig rig;
    rig.start_server("s1");
    Client& alice = rig.add_client("alice", kAll);
    rig.start_server("s2");
    REQUIRE(rig.world.run_until([&] { return alice.servers().size() == 2; }, 11min));
    REQUIRE(rig.world.run_until([&] { return rig.delegated("alice").size() == 2; }, 1min));
}

TEST_CASE("client: a server without a machine is passed over") {
    Rig rig;
    rig.start_server("s1");
    rig.wait_registered("s1");
    rig.world.node("dead").kill(sim::Death::silent);
    Client& alice = rig.start_client("alice", [&](ClientOptions& options) {
        options.servers = {rig.server_entry("dead")};
    });
    REQUIRE(rig.world.run(alice.wait_ready()));
    CHECK(alice.servers() == std::vector{key_of("s1")});
}

TEST_CASE("client: a server that is restarted gets its session back") {
    Rig rig;
    rig.start_server("s1");
    Client& alice = rig.add_client("alice");
    Client& bob = rig.add_client("bob");
    const auto listener = bob.listen(80).value();
    auto pair = connect(rig, alice, "bob", *listener);
    rig.stop_server("s1");
    REQUIRE(rig.world.run_until([&] { return alice.servers().empty(); }, 1min));
    CHECK_THAT(alice.trouble(), Catch::Contains("no session"));
    CHECK(rig.world.run(test::read_exactly(*pair.near, 1)).has_error());
    pair.close();
    rig.world.run_for(30s);
    CHECK_FALSE(rig.dial(alice, "bob", 80));
    rig.start_server("s1");
    REQUIRE(rig.world.run_until(
        [&] { return !alice.servers().empty() && !bob.servers().empty(); }, 3min
    ));
    auto again = connect(rig, alice, "bob", *listener);
    rig.exchange(*again.near, *again.far);
    again.close();
}

TEST_CASE("client: a server that goes away keeps its streams and loses its role at once") {
    Rig rig;
    rig.start_server("s1");
    rig.wait_registered("s1");
    Client& alice = rig.add_client("alice");
    Client& bob = rig.add_client("bob");
    const auto listener = bob.listen(80).value();
    auto old = connect(rig, alice, "bob", *listener);
    rig.start_server("s2");
    rig.wait_registered("s2");
    Running<bool> draining(rig.world, [](Rig& r) -> Task<bool> {
        co_await r.server("s1").drain(r.world.clock().now() + 1h);
        co_return true;
    }(rig));
    const auto moved = [&](Client& client) {
        return client.servers() == std::vector{key_of("s2")};
    };
    REQUIRE(rig.world.run_until([&] { return moved(alice) && moved(bob); }, 5s));
    rig.exchange(*old.near, *old.far);
    REQUIRE(
        rig.world.run_until([&] { return rig.delegated("bob") == std::vector{key_of("s2")}; }, 5s)
    );
    auto fresh = connect(rig, alice, "bob", *listener);
    rig.exchange(*fresh.near, *fresh.far);
    CHECK_FALSE(draining.ended());
    old.close();
    REQUIRE(rig.world.run_until([&] { return draining.ended(); }, 1min));
    rig.exchange(*fresh.near, *fresh.far);
    fresh.close();
}

TEST_CASE("client: a server that goes away without another one is tried until it is back") {
    Rig rig;
    rig.start_server("s1");
    Client& alice = rig.add_client("alice");
    {
        auto drained = rig.server("s1").drain(rig.world.clock().now() + 1s);
        rig.world.run(std::move(drained));
    }
    REQUIRE(rig.world.run_until([&] { return alice.servers().empty(); }, 1min));
    rig.stop_server("s1");
    rig.start_server("s1");
    REQUIRE(rig.world.run_until([&] { return !alice.servers().empty(); }, 3min));
}

TEST_CASE("client: two processes with one key live side by side, three do not fight without pause"
) {
    Rig rig;
    rig.start_server("s1");
    Client& alice = rig.add_client("alice");
    const auto dialled = [&] {
        return rig.counted("alice", "dmsg_client_session_dials_total", "outcome", "ok");
    };
    ClientOptions options(test::keys_of("alice"));
    const auto make = [&](const char* node) {
        return std::make_unique<Client>(
            rig.world.node(node).context(),
            options,
            std::make_unique<test::MemoryDiscovery>(rig.memory)
        );
    };
    const auto twin = make("twin");
    twin->start();
    rig.world.run_for(10min);
    CHECK(dialled() == 1);
    CHECK(alice.servers().size() == 1);
    CHECK(twin->servers().size() == 1);
    const auto third = make("third");
    third->start();
    rig.world.run_for(10min);
    CHECK(dialled() > 1);
    CHECK(dialled() < 40);
    CHECK(rig.world.run(third->stop(rig.world.clock().now() + 10s)).empty());
    CHECK(rig.world.run(twin->stop(rig.world.clock().now() + 10s)).empty());
    REQUIRE(rig.world.run_until([&] { return !alice.servers().empty(); }, 3min));
    rig.world.run_for(10min);
    CHECK(alice.servers().size() == 1);
}

TEST_CASE("client: the second server answers a dial where the first is silent") {
    Rig rig;
    rig.start_server("s1");
    rig.start_server("s2");
    rig.wait_registered("s1");
    rig.wait_registered("s2");
    Client& alice = rig.add_client("alice", kAll);
    Client& bob = rig.add_client("bob", kAll);
    REQUIRE(rig.world.run_until(
        [&] { return alice.servers().size() == 2 && rig.delegated("bob").size() == 2; }, 1min
    ));
    const auto listener = bob.listen(80).value();
    // Its sessions stand, and nothing comes through any more.
    rig.world.cut(rig.world.node("s1"), rig.world.node("bob"));
    for (int i = 0; i < 3; ++i) {
        const auto began = rig.world.elapsed();
        auto pair = connect(rig, alice, "bob", *listener);
        CHECK(rig.world.elapsed() - began < 2s);
        rig.exchange(*pair.near, *pair.far);
        pair.close();
    }
    rig.world.heal();
}

TEST_CASE("client: an entry kept too long is read again where its servers do not help") {
    Rig rig;
    rig.start_server("s1");
    Client& alice = rig.add_client("alice");
    {
        Client& bob = rig.add_client("bob");
        const auto listener = bob.listen(80).value();
        connect(rig, alice, "bob", *listener).close();
    }
    rig.start_server("s2");
    rig.wait_registered("s2");
    rig.stop_client("bob");
    Client& bob = rig.start_client("bob", [&](ClientOptions& options) {
        options.servers = {rig.server_entry("s2")};
    });
    rig.world.run(bob.wait_ready()).value();
    const auto listener = bob.listen(80).value();
    connect(rig, alice, "bob", *listener).close();
}

TEST_CASE("client: a dial ends in time where nobody answers") {
    Rig rig;
    rig.start_server("s1");
    Client& alice = rig.add_client("alice");
    rig.add_client("bob");
    rig.world.cut(rig.world.node("s1"), rig.world.node("alice"));
    const auto began = rig.world.elapsed();
    const auto failed = rig.dial(alice, "bob", 80);
    CHECK(failed.has_error());
    CHECK(rig.world.elapsed() - began <= 21s);
    rig.world.heal();
}

TEST_CASE("client: a dial can be cancelled wherever it waits") {
    Rig rig;
    rig.start_server("s1");
    rig.start_server("s2");
    rig.wait_registered("s1");
    rig.wait_registered("s2");
    Client& alice = rig.start_client("alice", [&](ClientOptions& options) {
        options.servers = {rig.server_entry("s1")};
    });
    rig.world.run(alice.wait_ready()).value();
    Client& bob = rig.start_client("bob", [&](ClientOptions& options) {
        options.servers = {rig.server_entry("s2")};
    });
    rig.world.run(bob.wait_ready()).value();
    const auto listener = bob.listen(80).value();
    // Look-up, a try through s1, a session with s2, a stream through it.
    std::size_t succeeded = 0;
    for (Duration after = 0ms; after < 700ms; after += 7ms) {
        Running<Result<std::unique_ptr<net::Stream>>> dial(
            rig.world, alice.dial({key_of("bob"), 80})
        );
        rig.world.run_for(after);
        if (dial.ended()) {
            REQUIRE(dial.result());
            ++succeeded;
        } else {
            dial.cancel();
            rig.world.settle();
            CHECK(dial.ended());
        }
    }
    CHECK(succeeded > 0);
    CHECK(rig.gauge("alice", "dmsg_client_streams") == 0);
    auto taken = rig.world.run(listener->accept()).value();
    connect(rig, alice, "bob", *listener).close();
}

TEST_CASE("client: stops while much is under way, and what it gave out is closed") {
    Rig rig;
    rig.start_server("s1");
    Client& alice = rig.add_client("alice");
    Client& bob = rig.add_client("bob");
    const auto listener = bob.listen(80).value();
    auto pair = connect(rig, alice, "bob", *listener);
    const auto at_alice = alice.listen(7).value();
    Running<Result<std::unique_ptr<net::Stream>>> accept(rig.world, at_alice->accept());
    Running<Result<Bytes>> read(rig.world, test::read_exactly(*pair.near, 1));
    Running<Result<std::unique_ptr<net::Stream>>> dial(rig.world, alice.dial({key_of("bob"), 80}));
    Running<Result<Duration>> ping(rig.world, alice.ping_server(key_of("s1")));
    rig.world.settle();
    rig.stop_client("alice");
    rig.world.settle();
    REQUIRE(accept.result());
    CHECK(accept.result()->error() == make_error_code(skywire::errc::closed));
    REQUIRE(read.result());
    CHECK(read.result()->has_error());
    REQUIRE(dial.result());
    CHECK(ping.ended());
    CHECK(rig.world.run(test::write_bytes(*pair.near, test::pattern(1))).has_error());
    pair.close();
}

TEST_CASE("client: its stop is not broken off, and whoever asked for it can still be cancelled") {
    for (const bool in_the_middle : {true, false}) {
        Rig rig;
        rig.start_server("s1");
        Client& alice = rig.add_client("alice");
        std::optional<std::vector<std::string>> late;
        const auto work = [&]() -> Task<bool> {
            late = co_await alice.stop(rig.world.clock().now() + 10s);
            co_return co_await net::sleep_for(rig.world.clock(), 24h);
        };
        // Its entry cannot be removed at once.
        rig.memory.silent = in_the_middle;
        Running<bool> owner(rig.world, work());
        rig.world.settle();
        if (!in_the_middle) {
            REQUIRE(rig.world.run_until([&] { return late.has_value(); }, 10s));
        }
        CHECK(late.has_value() != in_the_middle);
        owner.cancel();
        CHECK(rig.world.run_until([&] { return owner.ended(); }, 10s));
        CHECK(late == std::vector<std::string>{});
    }
}

TEST_CASE("client: what was written before the stop arrives") {
    Rig rig;
    rig.start_server("s1");
    Client& alice = rig.add_client("alice");
    Client& bob = rig.add_client("bob");
    const auto listener = bob.listen(80).value();
    auto pair = connect(rig, alice, "bob", *listener);
    // Far more is on its way than what the network takes at once.
    sim::LinkOptions slow;
    slow.bytes_per_second = 1'000'000;
    rig.world.set_link(rig.world.node("alice"), rig.world.node("s1"), slow);
    const Bytes sent = test::pattern(600'000);
    Running<Result<Bytes>> reading(rig.world, test::read_exactly(*pair.far, sent.size() + 1));
    REQUIRE(rig.world.run(test::write_bytes(*pair.near, sent)));
    pair.near->close();
    rig.stop_client("alice");
    REQUIRE(rig.world.run_until([&] { return reading.ended(); }, 1min));
    REQUIRE(reading.result()->has_value());
    CHECK((reading.result()->value() == sent));
    pair.far->close();
}

TEST_CASE("client: pings, connects and asks for its address") {
    Rig rig;
    rig.start_server("s1");
    Client& alice = rig.add_client("alice");
    rig.start_server("s2");
    rig.wait_registered("s2");
    CHECK(rig.world.run(alice.ping_server(key_of("s1"))).value() > 0s);
    CHECK(rig.world.run(alice.ping_server(key_of("s2"))).has_error());
    CHECK(rig.world.run(alice.connect(key_of("s1"))).value() == 0s);
    CHECK(rig.world.run(alice.connect(key_of("s2"))).value() > 0s);
    CHECK(alice.servers().size() == 2);
    CHECK(
        rig.world.run(alice.connect(key_of("alice"))).error() ==
        make_error_code(Code::entry_not_of_server)
    );
    CHECK(rig.world.run(alice.look_up_ip()).value() == rig.world.node("alice").ip());
    Client& bob = rig.add_client("bob");
    const auto listener = bob.listen(80).value();
    const auto server = bob.servers().front();
    auto near = rig.world.run(alice.dial_through(server, {key_of("bob"), 80})).value();
    auto far = rig.world.run(listener->accept()).value();
    rig.exchange(*near, *far);
}

TEST_CASE("client: what is asked before the start and after the end is refused") {
    Rig rig;
    ClientOptions options(test::keys_of("alice"));
    Client client(
        rig.world.node("alice").context(),
        options,
        std::make_unique<test::MemoryDiscovery>(rig.memory)
    );
    CHECK(
        rig.world.run(client.dial({key_of("bob"), 80})).error() ==
        make_error_code(skywire::errc::wrong_state)
    );
    client.start();
    Running<Result<>> ready(rig.world, client.wait_ready());
    rig.world.run_for(1s);
    CHECK(rig.world.run(client.stop(rig.world.clock().now() + 5s)).empty());
    rig.world.settle();
    REQUIRE(ready.result());
    CHECK(ready.result()->error() == make_error_code(skywire::errc::closed));
    CHECK(
        rig.world.run(client.dial({key_of("bob"), 80})).error() ==
        make_error_code(skywire::errc::closed)
    );
    CHECK(client.listen(80).error() == make_error_code(skywire::errc::closed));
}

}  // namespace
}  // namespace skywire::dmsg
