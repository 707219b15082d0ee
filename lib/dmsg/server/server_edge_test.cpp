// What comes to a server's port, and from where: loopback, PROXY headers, WebSockets, other
// servers.

#include "dmsg/server.hpp"
#include "dmsg/server/admission.hpp"
#include "dmsg/server/first_bytes.hpp"
#include "dmsg/server/server_rig.hpp"
#include "dmsg/server/session_directory.hpp"
#include "dmsg/test_rig.hpp"
#include "http/websocket.hpp"

namespace skywire::dmsg {
namespace {

using namespace std::chrono_literals;
using detail::Admission;
using detail::FirstBytes;
using detail::Refusal;
using test::FakeDiscovery;
using test::TestClient;

constexpr std::string_view kProxyLine = "PROXY TCP4 203.0.113.7 127.0.0.1 40000 8081\r\n";

/// Servers that listen on loopback, and their clients.
class Net {
 public:
    ~Net() {
        for (const auto& client : clients_)
            world.loop.run(client->close());
        for (const auto& server : servers_)
            CHECK(world.loop.run(server->stop(world.clock.now() + 10s)).empty());
    }

    /// Binds first, so that servers may name one another.
    net::Address bind() {
        listeners_.push_back(world.context.network
                                 .listen(world.context.loop, net::Address::tcp("127.0.0.1", 0))
                                 .value());
        return listeners_.back()->local();
    }

    Server& serve(ServerOptions options, std::size_t listener) {
        options.address = listeners_[listener]->local().to_string();
        servers_.push_back(std::make_unique<Server>(
            world.context, std::move(options), std::make_unique<FakeDiscovery>(discovery_)
        ));
        servers_.back()->start([] {});
        servers_.back()->serve(std::move(listeners_[listener]));
        world.loop.settle();
        return *servers_.back();
    }

    std::unique_ptr<net::Stream> dial(const net::Address& address) {
        return world.loop.run(world.context.network.dial(world.context.loop, address)).value();
    }

    TestClient& add(
        std::string_view seed, std::unique_ptr<net::Stream> carrier, const crypto::PublicKey& server
    ) {
        clients_.push_back(std::make_unique<TestClient>(world.context, seed));
        TestClient& client = *clients_.back();
        world.loop.run(client.connect(std::move(carrier), server)).value();
        world.loop.run(client.session().mux().ping()).value();
        return client;
    }

    /// Lets the loop run until it holds, with the clock moving as sweeps need it.
    void until(const std::function<bool()>& holds) {
        while (!holds()) {
            world.advance(250ms);
            world.loop.ioc.restart();
            world.loop.ioc.run_one_for(1ms);
        }
    }

    std::string ip_of(TestClient& client) {
        const auto seen = world.loop.run(look_up_ip(
            world.context, client.session(), client.keys(), 50'000, world.clock.now() + 5s
        ));
        return seen ? *seen : seen.error().message();
    }

    std::uint64_t refused(std::string_view reason) {
        return world.loop.metrics
            .counter("dmsg_server_sessions_refused_total", "", {{"reason", std::string(reason)}})
            .value();
    }

    test::World world;

 private:
    test::DiscoveryState discovery_;
    std::vector<std::unique_ptr<net::Listener>> listeners_;
    std::vector<std::unique_ptr<Server>> servers_;
    std::vector<std::unique_ptr<TestClient>> clients_;
};

const crypto::KeyPair kKeys = crypto::deterministic_key_pair("server");

void check_bridge(Net& net, TestClient& from, TestClient& to) {
    auto near = net.world.loop.run(from.dial(to.key()));
    REQUIRE(near);
    std::unique_ptr<Stream> far;
    net.world.loop.run([](TestClient& at, std::unique_ptr<Stream>& into) -> Task<> {
        into = co_await at.accept();
    }(to, far));
    const Bytes bytes = test::pattern(50'000);
    CHECK(net.world.loop.run(test::write_bytes(**near, bytes)));
    CHECK(net.world.loop.run(test::read_exactly(*far, bytes.size())).value() == bytes);
}

FirstBytes::Kind kind_of(std::string_view bytes, bool proxy = true) {
    return detail::look_at_first_bytes(as_bytes(bytes), proxy).value().kind;
}

}  // namespace

TEST_CASE("first bytes: handshakes, upgrades, PROXY headers, and nothing else") {
    using Kind = FirstBytes::Kind;
    CHECK(kind_of("") == Kind::need_more);
    CHECK(kind_of(std::string("\0", 1)) == Kind::need_more);
    CHECK(kind_of(std::string("\0\x31", 2)) == Kind::handshake);
    CHECK(kind_of("\x04\xd1") == Kind::handshake);
    CHECK(kind_of(std::string("\0\x32", 2)) == Kind::refused);
    CHECK(kind_of("GE") == Kind::need_more);
    CHECK(kind_of("GET /dmsg HTTP/1.1") == Kind::websocket);
    CHECK(kind_of("POST /") == Kind::refused);
    CHECK(kind_of("PROXY TCP4 1.2.3.4") == Kind::need_more);
    CHECK(kind_of(kProxyLine) == Kind::need_more);
    CHECK(kind_of(std::string(kProxyLine) + "GET ") == Kind::websocket);
    CHECK(kind_of(kProxyLine, /*proxy=*/false) == Kind::refused);
    const auto first = detail::look_at_first_bytes(as_bytes(kProxyLine), true).value();
    CHECK(first.skip == kProxyLine.size());
    CHECK(first.source->host == "203.0.113.7");
    CHECK_FALSE(detail::look_at_first_bytes(as_bytes("PROXY NONSENSE 1\r\n"), true));
}

TEST_CASE("session directory: the newest is found, the one before it after its end") {
    detail::SessionDirectory directory;
    const auto key = kKeys.public_key;
    CHECK_FALSE(directory.put(key, {0, 1}, false));
    CHECK_FALSE(directory.put(key, {3, 7}, false));
    CHECK(directory.find(key) == detail::SessionRef{3, 7});
    CHECK(directory.size() == 2);
    CHECK(directory.all() == std::vector{detail::SessionRef{3, 7}});
    // A third one closes the oldest, whose end changes nothing any more.
    CHECK(directory.put(key, {1, 9}, false) == detail::SessionRef{0, 1});
    CHECK_FALSE(directory.remove(key, {0, 1}));
    CHECK(directory.remove(key, {1, 9}));
    CHECK(directory.find(key) == detail::SessionRef{3, 7});
    CHECK_FALSE(directory.put(key, {2, 4}, false));
    CHECK(directory.remove(key, {3, 7}));
    CHECK(directory.find(key) == detail::SessionRef{2, 4});
    CHECK(directory.put(key, {5, 5}, true) == detail::SessionRef{2, 4});
    CHECK(directory.size() == 1);
    CHECK(directory.remove(key, {5, 5}));
    CHECK_FALSE(directory.find(key));
    CHECK(directory.size() == 0);
}

TEST_CASE("admission: places come back, addresses are counted one by one") {
    ServerLimits limits;
    limits.handshakes_max = 3;
    limits.handshakes_per_ip_max = 2;
    limits.sessions_per_ip_max = 3;
    Admission admission(limits);
    const SteadyTime now{};
    const auto address = net::Address::tcp("192.0.2.1", 1);
    std::vector<Admission::Place> places(4);
    for (int i = 0; i < 2; ++i) {
        CHECK(admission.connected(places[std::size_t(i)]) == Refusal::none);
        CHECK(admission.addressed(places[std::size_t(i)], address, now) == Refusal::none);
    }
    CHECK(admission.connected(places[2]) == Refusal::none);
    CHECK(admission.addressed(places[2], address, now) == Refusal::handshakes_of_ip);
    CHECK(admission.addressed(places[2], net::Address::tcp("192.0.2.2", 1), now) == Refusal::none);
    CHECK(admission.connected(places[3]) == Refusal::handshakes);
    CHECK(admission.authenticated(places[0], kKeys.public_key, false, now) == Refusal::none);
    CHECK(admission.handshakes() == 2);
    CHECK(admission.sessions() == 1);
    places.clear();
    CHECK(admission.handshakes() == 0);
    CHECK(admission.sessions() == 0);
    CHECK(admission.available() == 2048);
}

TEST_CASE("admission: who comes too often waits; a /64 of IPv6 is one address") {
    ServerLimits limits;
    limits.new_sessions_per_ip_per_minute = 2;
    Admission admission(limits);
    SteadyTime now{};
    const auto come = [&](const std::string& host) {
        Admission::Place place;
        CHECK(admission.connected(place) == Refusal::none);
        return admission.addressed(place, net::Address::tcp(host, 1), now);
    };
    CHECK(come("2001:db8::1") == Refusal::none);
    CHECK(come("2001:db8::2") == Refusal::none);
    CHECK(come("2001:db8::3") == Refusal::rate_of_ip);
    CHECK(come("2001:db8:0:1::1") == Refusal::none);
    now += 30s;
    CHECK(come("2001:db8::4") == Refusal::none);
    CHECK(come("2001:db8::4") == Refusal::rate_of_ip);
    // What is no IP has no limits.
    for (int i = 0; i < 5; ++i)
        CHECK(come("") == Refusal::none);
}

TEST_CASE("server: tells a client its address, the one of a PROXY header where there is one") {
    Net net;
    const auto address = net.bind();
    net.serve(ServerOptions(kKeys), 0);
    CHECK(net.ip_of(net.add("a", net.dial(address), kKeys.public_key)) == "127.0.0.1");
    auto behind = net.dial(address);
    CHECK(net.world.loop.run(
        test::write_bytes(*behind, Bytes(as_bytes(kProxyLine).begin(), as_bytes(kProxyLine).end()))
    ));
    CHECK(net.ip_of(net.add("b", std::move(behind), kKeys.public_key)) == "203.0.113.7");
}

TEST_CASE("server: an address has as many connections as it may have") {
    Net net;
    const auto address = net.bind();
    ServerOptions options(kKeys);
    options.limits.sessions_per_ip_max = 2;
    net.serve(std::move(options), 0);
    TestClient& a = net.add("a", net.dial(address), kKeys.public_key);
    net.add("b", net.dial(address), kKeys.public_key);
    auto third = net.dial(address);
    CHECK(net.world.loop.run(test::write_bytes(*third, Bytes{std::byte{0}, std::byte{0x31}})));
    net.until([&] { return net.refused("sessions_of_ip") == 1; });
    // A place that is left is taken.
    net.world.loop.run(a.close());
    net.until([&] {
        return net.world.loop.metrics.gauge("dmsg_server_clients_count", "").value() == 1;
    });
    net.add("c", net.dial(address), kKeys.public_key);
}

TEST_CASE("server: a flood of connections that say nothing leaves room for others") {
    Net net;
    const auto address = net.bind();
    ServerOptions options(kKeys);
    options.limits.handshakes_max = 20;
    net.serve(std::move(options), 0);
    std::vector<std::unique_ptr<net::Stream>> mute;
    mute.reserve(40);
    for (int i = 0; i < 40; ++i)
        mute.push_back(net.dial(address));
    net.until([&] { return net.refused("handshakes") == 20; });
    // They are cut off after the handshake's five seconds.
    net.until([&] { return net.refused("handshake_timed_out") == 20; });
    net.add("a", net.dial(address), kKeys.public_key);
}

TEST_CASE("server: a session inside a WebSocket is like any other") {
    Net net;
    const auto address = net.bind();
    net.serve(ServerOptions(kKeys), 0);
    auto upgraded = net.world.loop.run(
        http::open_websocket(net.world.context, net.dial(address), address.to_string(), "/dmsg")
    );
    REQUIRE(upgraded);
    TestClient& browser = net.add("browser", std::move(*upgraded), kKeys.public_key);
    TestClient& other = net.add("other", net.dial(address), kKeys.public_key);
    check_bridge(net, browser, other);
    check_bridge(net, other, browser);
    CHECK_FALSE(net.world.loop.run(
        http::open_websocket(net.world.context, net.dial(address), address.to_string(), "/other")
    ));
    CHECK(net.refused("websocket") == 1);
}

TEST_CASE("server: servers that are peers reach each other's clients, one hop far") {
    Net net;
    const auto first_keys = crypto::deterministic_key_pair("first");
    const auto second_keys = crypto::deterministic_key_pair("second");
    const auto third_keys = crypto::deterministic_key_pair("third");
    const auto first_address = net.bind();
    const auto second_address = net.bind();
    const auto third_address = net.bind();
    ServerOptions first(first_keys);
    first.peers = {{second_keys.public_key, second_address}};
    ServerOptions second(second_keys);
    second.peers = {{first_keys.public_key, first_address}, {third_keys.public_key, third_address}};
    ServerOptions third(third_keys);
    third.peers = {{second_keys.public_key, second_address}};
    Server& one = net.serve(std::move(first), 0);
    Server& two = net.serve(std::move(second), 1);
    Server& three = net.serve(std::move(third), 2);
    net.until([&] {
        return one.status().peer_sessions == 2 && two.status().peer_sessions == 4 &&
               three.status().peer_sessions == 2;
    });
    CHECK(one.status().client_sessions == 0);
    TestClient& a = net.add("a", net.dial(first_address), first_keys.public_key);
    TestClient& b = net.add("b", net.dial(second_address), second_keys.public_key);
    TestClient& c = net.add("c", net.dial(third_address), third_keys.public_key);
    check_bridge(net, a, b);
    check_bridge(net, b, a);
    check_bridge(net, b, c);
    // Two hops are one too many.
    CHECK_FALSE(net.world.loop.run(a.dial(c.key())));
    const auto near = net.world.loop.run(a.dial(b.key())).value();
    const auto far = net.world.loop.run(b.accept());
    CHECK(net.world.loop.run(two.stop(net.world.clock.now() + 10s)).empty());
    // It did not end in order, for nobody.
    CHECK(net.world.loop.run(test::read_end(*near)).has_error());
    CHECK(net.world.loop.run(test::read_end(*far)).has_error());
    net.until([&] { return one.status().peer_sessions == 0; });
}

}  // namespace skywire::dmsg
