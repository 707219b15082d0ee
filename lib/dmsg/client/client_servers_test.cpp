// A client and servers that are not like ours: old ones, broken ones, ones that lie. Virtual time.

#include "dmsg/client.hpp"
#include "dmsg/client/client_rig.hpp"
#include "dmsg/code.hpp"
#include "dmsg/handshake.hpp"
#include "dmsg/session.hpp"
#include "net/event.hpp"

#include <deque>

namespace skywire::dmsg {
namespace {

using test::key_of;
using test::Rig;
using namespace std::chrono_literals;

/// Does the handshake, and then as the test says.
class ScriptedServer final : private Session::Owner {
 public:
    enum class Manner {
        /// Closes the connection after the handshake.
        closes,
        /// Reads, says nothing, and notes when the first byte of the multiplexer comes.
        listens,
        /// A session whose streams are taken and never answered.
        ignores,
    };

    ScriptedServer(Rig& rig, const std::string& name, std::string_view key_seed)
        : world_(rig.world),
          node_(rig.world.node(name)),
          keys_(test::keys_of(key_seed)),
          scope_(rig.world.loop()) {
        listener_ = node_.context().network.listen(world_.loop(), node_.at(Rig::kPort)).value();
        scope_.spawn("accept", [this] { return accept(); });
    }
    ~ScriptedServer() override {
        listener_->close();
        for (auto& session : sessions_)
            world_.run(session->mux().close());
        const auto now = world_.clock().now();
        CHECK(world_.run(scope_.close(world_.clock(), now, now + 10s)).empty());
    }
    ScriptedServer(const ScriptedServer&) = delete;
    ScriptedServer& operator=(const ScriptedServer&) = delete;

    Manner manner = Manner::ignores;
    /// So many connections are treated otherwise first: closed.
    int closes_first = 0;
    int handshakes = 0;
    std::optional<Duration> first_byte_after;
    std::size_t streams() const { return streams_.size(); }

 private:
    Task<> accept() {
        while (true) {
            auto stream = co_await listener_->accept();
            if (!stream) co_return;
            const auto held = std::make_shared<std::unique_ptr<net::Stream>>(std::move(*stream));
            scope_.spawn("serve", [this, held] { return serve(std::move(*held)); });
        }
    }

    Task<> serve(std::unique_ptr<net::Stream> stream) {
        auto handshaken = co_await handshake_as_server(node_.context(), std::move(stream), keys_);
        if (!handshaken) co_return;
        ++handshakes;
        const SteadyTime began = world_.clock().now();
        Manner how = manner;
        if (closes_first > 0) {
            --closes_first;
            how = Manner::closes;
        }
        switch (how) {
            case Manner::closes:
                handshaken->carrier->close();
                co_return;
            case Manner::listens: {
                Bytes buffer(100);
                CHECK(handshaken->surplus.empty());
                const auto count = co_await handshaken->carrier->read_some(buffer);
                if (count && *count > 0) first_byte_after = world_.clock().now() - began;
                co_return;
            }
            case Manner::ignores: {
                Session::Options options;
                options.role = mux::Role::server;
                Session::Owner& owner = *this;
                sessions_.push_back(std::make_unique<Session>(
                    node_.context(), std::move(*handshaken), options, owner
                ));
                co_return;
            }
        }
    }

    void on_stream(Session&, std::unique_ptr<mux::Stream> stream) override {
        streams_.push_back(std::move(stream));
    }
    void on_go_away(Session&) override {}
    void on_end(Session&, const Error&) override {}

    sim::World& world_;
    sim::Node& node_;
    crypto::KeyPair keys_;
    std::unique_ptr<net::Listener> listener_;
    std::deque<std::unique_ptr<Session>> sessions_;
    std::vector<std::unique_ptr<mux::Stream>> streams_;
    net::Scope scope_;
};

using Manner = ScriptedServer::Manner;

/// Without an entry, with these servers and no others.
Rig::Tweak only(Rig& rig, std::vector<std::string> servers, bool prompt = false) {
    return [&rig, servers, prompt](ClientOptions& options) {
        options.publish_entry = false;
        for (const auto& name : servers) {
            options.servers.push_back(rig.server_entry(name));
            if (prompt) options.prompt_servers.insert(key_of(name));
        }
    };
}

/// Connects when the test says so, to somebody who never says a word.
class MuteNetwork final : public net::Network {
 public:
    explicit MuteNetwork(Executor loop) : opened_(std::move(loop)) {}

    Result<std::unique_ptr<net::Listener>> listen(Executor, const net::Address&) override {
        return fail(skywire::errc::unsupported, {});
    }
    Task<Result<std::unique_ptr<net::Stream>>> dial(Executor loop, net::Address) override {
        ++dials;
        const bool notified = co_await opened_.wait();
        if (!notified) co_return fail(skywire::errc::cancelled, {});
        auto [ours, theirs] = net::make_pipe(loop);
        peers_.push_back(std::move(theirs));
        co_return std::move(ours);
    }
    Result<std::unique_ptr<net::Datagram>> bind_udp(Executor, const net::Address&) override {
        return fail(skywire::errc::unsupported, {});
    }

    void open() { opened_.notify(); }

    int dials = 0;

 private:
    net::Event opened_;
    std::vector<std::unique_ptr<net::Stream>> peers_;
};

net::Context with_network(const net::Context& context, net::Network& network) {
    return {
        context.loop,
        context.clock,
        context.random,
        network,
        context.workers,
        context.metrics,
        context.faults,
        context.logger
    };
}

Task<std::vector<std::string>> stop_after(Client& client, int turns, SteadyTime deadline) {
    const Executor loop = co_await asio::this_coro::executor;
    for (int i = 0; i < turns; ++i)
        co_await asio::post(loop, asio::use_awaitable);
    co_return co_await client.stop(deadline);
}

TEST_CASE("client and servers: a stop waits for no handshake, whenever it comes") {
    // Somewhere in there it comes when the connection stands and the handshake has not begun.
    for (int turns = 0; turns < 40; ++turns) {
        Rig rig;
        MuteNetwork network(rig.world.loop());
        ClientOptions options(test::keys_of("alice"));
        only(rig, {"mute"})(options);
        Client alice(
            with_network(rig.world.node("alice").context(), network),
            std::move(options),
            std::make_unique<test::MemoryDiscovery>(rig.memory)
        );
        alice.start();
        rig.world.settle();
        REQUIRE(network.dials == 1);
        network.open();
        test::Running<std::vector<std::string>> stop(
            rig.world, stop_after(alice, turns, rig.world.clock().now() + 3s)
        );
        rig.world.settle();
        INFO("behind " << turns << " turns of the loop");
        CHECK(stop.ended());
        CHECK(stop.result() == std::vector<std::string>{});
        rig.world.run_for(10s);
    }
}

TEST_CASE("client and servers: unknown ones are left in peace behind the handshake") {
    Rig rig;
    ScriptedServer old(rig, "old", "old");
    old.manner = Manner::listens;
    rig.start_client("alice", only(rig, {"old"}));
    REQUIRE(rig.world.run_until([&] { return old.first_byte_after.has_value(); }, 10s));
    CHECK(*old.first_byte_after >= 90ms);
    ScriptedServer ours(rig, "ours", "ours");
    ours.manner = Manner::listens;
    rig.start_client("bob", only(rig, {"ours"}, /*prompt=*/true));
    REQUIRE(rig.world.run_until([&] { return ours.first_byte_after.has_value(); }, 10s));
    CHECK(*ours.first_byte_after < 50ms);
}

TEST_CASE("client and servers: one that drops the connection at once is dialled once more") {
    Rig rig;
    ScriptedServer old(rig, "old", "old");
    old.closes_first = 1;
    Client& alice = rig.start_client("alice", only(rig, {"old"}));
    REQUIRE(rig.world.run_until([&] { return alice.ready(); }, 2s));
    CHECK(old.handshakes == 2);
}

TEST_CASE("client and servers: one that always drops it is tried with growing pauses") {
    Rig rig;
    ScriptedServer old(rig, "old", "old");
    old.manner = Manner::closes;
    Client& alice = rig.start_client("alice", only(rig, {"old"}));
    rig.world.run_for(5min);
    CHECK_FALSE(alice.ready());
    CHECK_THAT(alice.trouble(), Catch::Contains("right after the handshake"));
    CHECK(old.handshakes >= 8);
    CHECK(old.handshakes < 40);
    CHECK(rig.counted("alice", "dmsg_client_session_dials_total", "outcome", "closed") >= 4);
}

TEST_CASE("client and servers: an entry with another server's address, or with none of use") {
    Rig rig;
    rig.start_server("s1");
    rig.wait_registered("s1");
    // "liar" does not have the key that its entry claims.
    ScriptedServer liar(rig, "liar", "somebody else");
    Entry nowhere = rig.server_entry("nowhere");
    nowhere.server->address = "no address";
    rig.memory.entries[key_of("liar")] = rig.server_entry("liar");
    rig.memory.entries[key_of("nowhere")] = nowhere;
    Client& alice = rig.start_client("alice", [](ClientOptions& o) { o.sessions_min = 0; });
    REQUIRE(rig.world.run(alice.wait_ready()));
    rig.world.run_for(2min);
    CHECK(alice.servers() == std::vector{key_of("s1")});
    CHECK(liar.handshakes == 0);
    CHECK(rig.counted("alice", "dmsg_client_session_dials_total", "outcome", "malformed") > 0);
    const auto refused = rig.world.run(alice.connect(key_of("nowhere")));
    REQUIRE(refused.has_error());
    CHECK_THAT(refused.error().message(), Catch::Contains("no address"));
}

TEST_CASE("client and servers: one that never answers does not keep a dial from another's way") {
    Rig rig;
    rig.start_server("s1");
    rig.wait_registered("s1");
    ScriptedServer old(rig, "old", "old");
    Client& bob = rig.add_client("bob");
    const auto listener = bob.listen(80).value();
    // Connected to the old one alone; the other one is the destination's.
    Client& alice = rig.start_client("alice", [&](ClientOptions& options) {
        options.servers = {rig.server_entry("old")};
    });
    REQUIRE(rig.world.run(alice.wait_ready()));
    CHECK(alice.servers() == std::vector{key_of("old")});
    const auto began = rig.world.elapsed();
    REQUIRE(rig.dial(alice, "bob", 80));
    CHECK(rig.world.elapsed() - began < 2s);
    CHECK(old.streams() == 1);
    const auto timed_out = rig.world.run(alice.dial_through(key_of("old"), {key_of("bob"), 80}));
    CHECK(timed_out.error() == make_error_code(skywire::errc::timed_out));
}

TEST_CASE("client and servers: servers of another type are not used") {
    Rig rig;
    rig.start_server("s1");
    rig.start_server("s2");
    rig.wait_registered("s1");
    rig.wait_registered("s2");
    rig.memory.entries.at(key_of("s1")).server->server_type = "official";
    rig.memory.entries.at(key_of("s2")).server->server_type = "community";
    Client& alice = rig.start_client("alice", [](ClientOptions& options) {
        options.sessions_min = 0;
        options.server_type = "official";
    });
    REQUIRE(rig.world.run(alice.wait_ready()));
    rig.world.run_for(30s);
    CHECK(alice.servers() == std::vector{key_of("s1")});
}

TEST_CASE("client and servers: a mesh carries a stream to another server's client") {
    Rig rig;
    const auto peer = [&](const std::string& name) {
        return ServerPeer{key_of(name), rig.world.node(name).at(Rig::kPort)};
    };
    rig.start_server("s1", {peer("s2")});
    rig.start_server("s2", {peer("s1")});
    rig.world.run_for(30s);
    Client& alice = rig.start_client("alice", only(rig, {"s1"}));
    Client& bob = rig.start_client("bob", only(rig, {"s2"}));
    rig.world.run(alice.wait_ready()).value();
    rig.world.run(bob.wait_ready()).value();
    const auto listener = bob.listen(80).value();
    auto near = rig.dial(alice, "bob", 80);
    REQUIRE(near);
    auto far = rig.world.run(listener->accept()).value();
    rig.exchange(**near, *far);
    CHECK(alice.servers() == std::vector{key_of("s1")});
}

}  // namespace
}  // namespace skywire::dmsg
