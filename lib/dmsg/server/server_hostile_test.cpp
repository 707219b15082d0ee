// The server against clients that mean harm: each rule that keeps one of them from doing any to
// others, in virtual time; and all of them together against a server with threads.

#include "dmsg/server.hpp"
#include "dmsg/server/server_rig.hpp"
#include "dmsg/test_rig.hpp"
#include "mux/smux.hpp"
#include "mux/yamux.hpp"

#include <algorithm>

namespace skywire::dmsg {
namespace {

using namespace std::chrono_literals;
using test::FakeDiscovery;
using test::Started;
using test::TestClient;
using test::WirePeer;
namespace smux = mux::smux;
namespace yamux = mux::yamux;

const crypto::KeyPair kServerKeys = crypto::deterministic_key_pair("server");

/// A discovery that can be made to keep everybody waiting.
class SlowDiscovery final : public DiscoveryClient {
 public:
    SlowDiscovery(const net::Context& context, test::DiscoveryState& state, const bool& hangs)
        : below_(state), hangs_(hangs), never_(context.loop) {}

    Task<Result<Entry>> entry(crypto::PublicKey key) override {
        if (hangs_) co_await never_.wait();
        co_return co_await below_.entry(key);
    }
    Task<Result<std::vector<Entry>>> available_servers() override {
        return below_.available_servers();
    }
    Task<Result<std::vector<Entry>>> all_servers() override { return below_.all_servers(); }
    Task<Result<>> post(Entry entry) override { return below_.post(std::move(entry)); }
    Task<Result<>> erase(Entry entry) override {
        if (hangs_) co_await never_.wait();
        co_return co_await below_.erase(std::move(entry));
    }

 private:
    FakeDiscovery below_;
    const bool& hangs_;
    net::Event never_;
};

ServerOptions default_options() {
    ServerOptions options(kServerKeys);
    options.address = "127.0.0.1:8081";
    return options;
}

/// A server on a still clock, with clients over pipes or loopback.
struct Rig {
    explicit Rig(ServerOptions options = default_options()) {
        server.emplace(
            world.context,
            std::move(options),
            std::make_unique<SlowDiscovery>(world.context, discovery, hangs)
        );
        server->start([] {});
        world.loop.settle();
    }
    ~Rig() {
        for (const auto& client : clients)
            world.loop.run(client->close());
        CHECK(world.loop.run(server->stop(world.clock.now() + 10s)).empty());
    }

    std::unique_ptr<net::Stream> carrier() {
        auto [ours, theirs] = net::make_pipe(world.context.loop, /*buffer_bytes=*/1 << 16);
        server->serve(std::move(theirs));
        return std::move(ours);
    }
    TestClient& add(std::string_view seed) {
        clients.push_back(std::make_unique<TestClient>(world.context, seed));
        world.loop.run(clients.back()->connect(carrier(), kServerKeys.public_key)).value();
        world.loop.settle();
        return *clients.back();
    }
    /// Moves the clock in steps of a sweep; clients tick too.
    void advance(Duration by) {
        for (Duration done{0}; done < by; done += 250ms) {
            world.advance(250ms);
            for (const auto& client : clients)
                client->tick();
            world.loop.settle();
        }
    }
    std::uint64_t refused_streams(std::string_view reason) {
        return world.loop.metrics
            .counter("dmsg_server_streams_refused_total", "", {{"reason", std::string(reason)}})
            .value();
    }
    std::uint64_t refused_sessions(std::string_view reason) {
        return world.loop.metrics
            .counter("dmsg_server_sessions_refused_total", "", {{"reason", std::string(reason)}})
            .value();
    }

    test::World world;
    test::DiscoveryState discovery;
    bool hangs = false;
    std::optional<Server> server;
    std::vector<std::unique_ptr<TestClient>> clients;
};

template <class Array>
void append(Bytes& bytes, const Array& frame) {
    bytes.insert(bytes.end(), frame.begin(), frame.end());
}

}  // namespace

TEST_CASE("server: connections of one address that say nothing leave room for other addresses") {
    ServerOptions options = default_options();
    options.limits.handshakes_max = 4;
    options.limits.handshakes_per_ip_max = 2;
    Rig rig(std::move(options));
    auto listener =
        rig.world.context.network.listen(rig.world.context.loop, net::Address::tcp("127.0.0.1", 0))
            .value();
    const net::Address address = listener->local();
    rig.server->serve(std::move(listener));
    std::vector<std::unique_ptr<net::Stream>> mute;
    mute.reserve(6);
    for (int i = 0; i < 6; ++i) {
        mute.push_back(rig.world.loop
                           .run(rig.world.context.network.dial(rig.world.context.loop, address))
                           .value());
    }
    rig.world.loop.run_until([&] {
        return rig.refused_sessions("handshakes_of_ip") + rig.refused_sessions("handshakes") == 4;
    });
    CHECK(rig.refused_sessions("handshakes_of_ip") == 4);
    // A proxy's connections count for whom it names.
    constexpr std::string_view kProxyLine = "PROXY TCP4 203.0.113.7 127.0.0.1 40000 8081\r\n";
    CHECK(rig.world.loop.run(
        test::write_bytes(*mute[0], Bytes(as_bytes(kProxyLine).begin(), as_bytes(kProxyLine).end()))
    ));
    TestClient proxied(rig.world.context, "proxied");
    CHECK(rig.world.loop.run(proxied.connect(std::move(mute[0]), kServerKeys.public_key)));
    CHECK(rig.world.loop.run(proxied.session().mux().ping()));
    TestClient direct(rig.world.context, "direct");
    auto carrier =
        rig.world.loop.run(rig.world.context.network.dial(rig.world.context.loop, address)).value();
    CHECK(rig.world.loop.run(direct.connect(std::move(carrier), kServerKeys.public_key)));
    rig.world.loop.run(proxied.close());
    rig.world.loop.run(direct.close());
}

TEST_CASE("server: what others ask of a client does not keep it from dialling") {
    ServerOptions options = default_options();
    options.limits.setups_per_session_max = 2;
    Rig rig(std::move(options));
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    TestClient& c = rig.add("c");
    b.answer_nothing();
    Started<Result<std::unique_ptr<Stream>>> first(rig.world.loop, a.dial(b.key()));
    Started<Result<std::unique_ptr<Stream>>> second(rig.world.loop, a.dial(b.key()));
    REQUIRE(b.unanswered() == 2);
    CHECK(rig.world.loop.run(b.dial(c.key())));
    CHECK(rig.refused_streams("too_many_setups") == 0);
    // The limit is kept on either side by itself.
    CHECK_FALSE(rig.world.loop.run(c.dial(b.key())));
    CHECK(rig.refused_streams("destination_busy") == 1);
}

TEST_CASE("server: a discovery that does not answer does not hold up the drain") {
    Rig rig;
    TestClient& a = rig.add("a");
    rig.hangs = true;
    Started<Result<bool>> drained(rig.world.loop, [](Rig& of) -> Task<Result<bool>> {
        co_await of.server->drain(of.world.clock.now() + 1h);
        co_return true;
    }(rig));
    rig.advance(5s);
    CHECK(a.gone_away());
    CHECK(drained.ended());
    rig.hangs = false;
}

TEST_CASE("server: streams beyond what a session may have are counted") {
    ServerOptions options = default_options();
    options.limits.streams_per_session_max = 2;
    Rig rig(std::move(options));
    TestClient& a = rig.add("a");
    std::vector<std::unique_ptr<mux::Stream>> mute;
    mute.reserve(5);
    for (int i = 0; i < 5; ++i)
        mute.push_back(a.session().mux().open().value());
    rig.world.loop.settle();
    CHECK(rig.refused_streams("too_many_streams") == 3);
}

TEST_CASE("server: a client that gives no window does not keep a set-up for ever") {
    Rig rig;
    auto handshaken = rig.world.loop.run(handshake_as_client(
        rig.world.context,
        rig.carrier(),
        crypto::deterministic_key_pair("mean"),
        kServerKeys.public_key
    ));
    REQUIRE(handshaken);
    WirePeer peer(rig.world.loop, std::move(handshaken->carrier));
    Bytes bytes;
    append(bytes, smux::encode({smux::Command::syn, 0, 3}));
    append(bytes, smux::encode(3, smux::Update{0, 0}));
    append(bytes, smux::encode({smux::Command::psh, 2, 3}));
    bytes.resize(bytes.size() + 2);
    peer.send(bytes);
    Bytes alive;
    append(alive, smux::encode({smux::Command::nop, 0, 0}));
    for (int i = 0; i < 20; ++i) {
        rig.advance(1s);
        peer.send(alive);
    }
    CHECK_FALSE(peer.ended());
    const auto fin = smux::encode({smux::Command::fin, 0, 3});
    const Bytes& received = peer.received();
    CHECK(std::search(received.begin(), received.end(), fin.begin(), fin.end()) != received.end());
}

TEST_CASE("server: a client that says its protocol is not waited for") {
    Rig rig;
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    rig.hangs = true;
    // Nobody knows yet which multiplexer b speaks.
    Started<Result<std::unique_ptr<Stream>>> dialled(rig.world.loop, a.dial(b.key()));
    CHECK_FALSE(dialled.ended());
    auto word = b.session().mux().open().value();
    rig.world.loop.settle();
    rig.advance(250ms);
    REQUIRE(dialled.ended());
    CHECK(dialled.wait());
    rig.hangs = false;
}

TEST_CASE("server: a peer server that drops its session is dialled again") {
    const auto other = crypto::deterministic_key_pair("other server");
    test::World dialled;
    auto listener =
        dialled.context.network.listen(dialled.context.loop, net::Address::tcp("127.0.0.1", 0))
            .value();
    ServerOptions options = default_options();
    options.peers.push_back({other.public_key, listener->local()});
    Rig rig(std::move(options));
    const auto turn = [&] {
        for (net::TestLoop* loop : {&rig.world.loop, &dialled.loop}) {
            loop->ioc.restart();
            loop->ioc.run_one_for(1ms);
        }
    };
    for (int session = 0; session < 3; ++session) {
        Started<Result<std::unique_ptr<net::Stream>>> accepted(dialled.loop, listener->accept());
        while (!accepted.ended()) {
            rig.advance(250ms);
            turn();
        }
        Started<Result<Handshaken>> handshaken(
            dialled.loop,
            handshake_as_server(dialled.context, std::move(accepted.wait().value()), other)
        );
        while (!handshaken.ended())
            turn();
        REQUIRE(handshaken.wait());
        while (rig.server->status().peer_sessions == 0) {
            rig.advance(250ms);
            turn();
        }
        handshaken.wait()->carrier->close();
        while (rig.server->status().peer_sessions != 0)
            turn();
    }
}

}  // namespace skywire::dmsg
