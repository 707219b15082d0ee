// The server against clients that mean harm: each rule that keeps one of them from doing any to
// others, in virtual time; and all of them together against a server with threads.

#include "dmsg/server.hpp"
#include "dmsg/server/server_rig.hpp"
#include "mux/smux.hpp"
#include "mux/yamux.hpp"

#include <algorithm>

namespace skywire::dmsg {
namespace {

using namespace std::chrono_literals;
using test::kServerKeys;
using test::server_options;
using test::Started;
using test::TestClient;
using test::WirePeer;
using Rig = test::ServerRig;
namespace smux = mux::smux;
namespace yamux = mux::yamux;

}  // namespace

TEST_CASE("server: connections of one address that say nothing leave room for other addresses") {
    ServerOptions options = server_options();
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
        mute.push_back(
            rig.run(rig.world.context.network.dial(rig.world.context.loop, address)).value()
        );
    }
    rig.world.loop.run_until([&] {
        return rig.refused_sessions("handshakes_of_ip") + rig.refused_sessions("handshakes") == 4;
    });
    CHECK(rig.refused_sessions("handshakes_of_ip") == 4);
    // A proxy's connections count for whom it names.
    constexpr std::string_view kProxyLine = "PROXY TCP4 203.0.113.7 127.0.0.1 40000 8081\r\n";
    CHECK(rig.run(
        test::write_bytes(*mute[0], Bytes(as_bytes(kProxyLine).begin(), as_bytes(kProxyLine).end()))
    ));
    TestClient proxied(rig.world.context, "proxied");
    CHECK(rig.run(proxied.connect(std::move(mute[0]), kServerKeys.public_key)));
    CHECK(rig.run(proxied.session().mux().ping()));
    TestClient direct(rig.world.context, "direct");
    auto carrier = rig.run(rig.world.context.network.dial(rig.world.context.loop, address)).value();
    CHECK(rig.run(direct.connect(std::move(carrier), kServerKeys.public_key)));
    rig.run(proxied.close());
    rig.run(direct.close());
}

TEST_CASE("server: what others ask of a client does not keep it from dialling") {
    ServerOptions options = server_options();
    options.limits.setups_per_session_max = 2;
    Rig rig(std::move(options));
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    TestClient& c = rig.add("c");
    b.answer_nothing();
    Started<Result<std::unique_ptr<Stream>>> first(rig.world.loop, a.dial(b.key()));
    Started<Result<std::unique_ptr<Stream>>> second(rig.world.loop, a.dial(b.key()));
    REQUIRE(b.unanswered() == 2);
    CHECK(rig.run(b.dial(c.key())));
    CHECK(rig.refused_streams("too_many_setups") == 0);
    // The limit is kept on either side by itself.
    CHECK_FALSE(rig.run(c.dial(b.key())));
    CHECK(rig.refused_streams("destination_busy") == 1);
}

TEST_CASE("server: a discovery that does not answer does not hold up the drain") {
    Rig rig;
    TestClient& a = rig.add("a");
    rig.discovery.hangs = true;
    Started<Result<bool>> drained(rig.world.loop, [](Rig& of) -> Task<Result<bool>> {
        co_await of.server->drain(of.world.clock.now() + 1h);
        co_return true;
    }(rig));
    rig.advance(5s);
    CHECK(a.gone_away());
    CHECK(drained.ended());
    rig.discovery.hangs = false;
}

TEST_CASE("server: streams beyond what a session may have are counted") {
    ServerOptions options = server_options();
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
    auto handshaken = rig.run(handshake_as_client(
        rig.world.context,
        rig.carrier(),
        crypto::deterministic_key_pair("mean"),
        kServerKeys.public_key
    ));
    REQUIRE(handshaken);
    WirePeer peer(rig.world.loop, std::move(handshaken->carrier));
    Bytes bytes;
    test::append(bytes, smux::encode({smux::Command::syn, 0, 3}));
    test::append(bytes, smux::encode(3, smux::Update{0, 0}));
    test::append(bytes, smux::encode({smux::Command::psh, 2, 3}));
    bytes.resize(bytes.size() + 2);
    peer.send(bytes);
    Bytes alive;
    test::append(alive, smux::encode({smux::Command::nop, 0, 0}));
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
    rig.discovery.hangs = true;
    // Nobody knows yet which multiplexer b speaks.
    Started<Result<std::unique_ptr<Stream>>> dialled(rig.world.loop, a.dial(b.key()));
    CHECK_FALSE(dialled.ended());
    auto word = b.session().mux().open().value();
    rig.world.loop.settle();
    rig.advance(250ms);
    REQUIRE(dialled.ended());
    CHECK(dialled.wait());
    rig.discovery.hangs = false;
}

TEST_CASE("server: a peer server that drops its session is dialled again") {
    const auto other = crypto::deterministic_key_pair("other server");
    test::World dialled;
    auto listener =
        dialled.context.network.listen(dialled.context.loop, net::Address::tcp("127.0.0.1", 0))
            .value();
    ServerOptions options = server_options();
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
