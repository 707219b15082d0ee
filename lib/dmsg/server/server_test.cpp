// The server between real client sessions, on one event loop with a still clock.

#include "dmsg/server.hpp"

#include "dmsg/server/server_rig.hpp"

namespace skywire::dmsg {
namespace {

using namespace std::chrono_literals;
using test::kServerKeys;
using test::server_options;
using test::Started;
using test::TestClient;
using Rig = test::ServerRig;

/// A stream from one client to another, both ends.
struct Bridge {
    Bridge(Rig& rig, TestClient& from, TestClient& to) {
        near = rig.run(from.dial(to.key())).value();
        far = rig.run(to.accept());
    }
    std::unique_ptr<Stream> near;
    std::unique_ptr<Stream> far;
};

/// The other side has closed it.
bool over(Rig& rig, net::Stream& stream) {
    const auto end = rig.run(test::read_end(stream));
    return !end || *end == 0;
}

}  // namespace

TEST_CASE("server: a stream between two clients carries bytes both ways") {
    Rig rig;
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    CHECK(rig.server->status().client_sessions == 2);
    Bridge bridge(rig, a, b);
    CHECK(bridge.far->remote_address().pk == a.key());
    CHECK(rig.server->status().active_streams == 1);

    const Bytes up = test::pattern(1'000'000, 1);
    const Bytes down = test::pattern(300'000, 2);
    Started<Result<>> write_up(rig.world.loop, test::write_bytes(*bridge.near, up));
    Started<Result<>> write_down(rig.world.loop, test::write_bytes(*bridge.far, down));
    Started<Result<Bytes>> read_up(rig.world.loop, test::read_exactly(*bridge.far, up.size()));
    CHECK(rig.run(test::read_exactly(*bridge.near, down.size())).value() == down);
    CHECK(read_up.wait().value() == up);
    CHECK(write_up.wait());
    CHECK(write_down.wait());
    const auto status = rig.server->status();
    CHECK(status.bytes_up > up.size());
    CHECK(status.bytes_down > down.size());
    CHECK(status.streams_relayed == 1);
}

TEST_CASE("server: the end of one side reaches the other behind its data, and both go") {
    Rig rig;
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    Bridge bridge(rig, a, b);
    const Bytes sent = test::pattern(200'000);
    CHECK(rig.run(test::write_bytes(*bridge.near, sent)));
    bridge.near->close();
    CHECK(rig.run(test::read_exactly(*bridge.far, sent.size())).value() == sent);
    CHECK(rig.run(test::read_end(*bridge.far)).value() == 0);
    rig.world.loop.settle();
    CHECK(rig.server->status().active_streams == 0);
    CHECK(rig.server->status().client_sessions == 2);
    bridge.far->close();
    rig.world.loop.settle();
    CHECK(a.session().mux().streams() == 0);
    CHECK(b.session().mux().streams() == 0);
}

TEST_CASE("server: a client that goes takes its streams along and nothing else") {
    Rig rig;
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    TestClient& c = rig.add("c");
    Bridge lost(rig, a, b);
    Bridge kept(rig, c, b);
    rig.run(a.close());
    CHECK(rig.run(test::read_end(*lost.far)).value() == 0);
    CHECK(rig.server->status().client_sessions == 2);
    CHECK(rig.server->status().active_streams == 1);
    CHECK(rig.run(test::write_bytes(*kept.near, test::pattern(10))));
    CHECK(rig.run(test::read_exactly(*kept.far, 10)).value() == test::pattern(10));
}

TEST_CASE("server: clients of both multiplexers meet") {
    Rig rig;
    TestClient& a = rig.add("a", mux::Protocol::yamux);
    TestClient& b = rig.add("b", mux::Protocol::smux);
    Entry entry;
    entry.protocol = "smux";
    rig.discovery.entries[b.key()] = entry;
    Bridge bridge(rig, a, b);
    const Bytes sent = test::pattern(500'000);
    Started<Result<>> writing(rig.world.loop, test::write_bytes(*bridge.near, sent));
    CHECK(rig.run(test::read_exactly(*bridge.far, sent.size())).value() == sent);
    CHECK(writing.wait());
    Bridge back(rig, b, a);
    Started<Result<>> writing_back(rig.world.loop, test::write_bytes(*back.near, sent));
    CHECK(rig.run(test::read_exactly(*back.far, sent.size())).value() == sent);
    CHECK(writing_back.wait());
}

TEST_CASE("server: a reader that stops holds up nobody else, and the server holds one window") {
    Rig rig;
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    Bridge stopped(rig, a, b);
    Bridge other(rig, a, b);
    const Bytes much = test::pattern(4'000'000);
    Started<Result<>> stuck(rig.world.loop, test::write_bytes(*stopped.near, much));
    CHECK_FALSE(stuck.ended());
    // What can be on the way: the window of either leg and what lies between.
    CHECK(rig.server->status().bytes_up <= 3 * 262'144);
    const Bytes sent = test::pattern(1'000'000);
    Started<Result<>> writing(rig.world.loop, test::write_bytes(*other.near, sent));
    CHECK(rig.run(test::read_exactly(*other.far, sent.size())).value() == sent);
    CHECK(rig.run(test::read_exactly(*stopped.far, much.size())).value() == much);
    CHECK(stuck.wait());
}

TEST_CASE("server: what cannot be bridged is closed at once, and counted") {
    Rig rig;
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    const auto absent = crypto::deterministic_key_pair("nobody").public_key;
    CHECK_FALSE(rig.run(a.dial(absent)));
    CHECK(rig.refused_streams("no_destination") == 1);
    CHECK_FALSE(rig.run(a.dial(b.key(), 1)));
    CHECK(rig.refused_streams("destination_refused") == 1);
    b.answer_nothing();
    Started<Result<std::unique_ptr<Stream>>> silent(rig.world.loop, a.dial(b.key()));
    rig.advance(6s);
    REQUIRE(silent.ended());
    CHECK_FALSE(silent.wait());
    CHECK(rig.refused_streams("destination_silent") == 1);
    CHECK(rig.server->status().client_sessions == 2);
    CHECK(rig.server->status().active_streams == 0);
}

TEST_CASE("server: a request for somebody else's key goes nowhere") {
    Rig rig;
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    b.answer_nothing();
    const auto stranger = crypto::deterministic_key_pair("stranger");
    const auto ask = [&](const crypto::KeyPair& signer, Address from, Address to, std::int64_t at) {
        StreamRequest request;
        request.timestamp = at;
        request.source = from;
        request.destination = to;
        request.noise_message = Bytes(49);
        auto stream = a.session().mux().open().value();
        const auto object = SignedObject::sign(encode(request), signer.secret_key);
        CHECK(rig.run(a.session().send(*stream, object)));
        CHECK(rig.run(test::read_end(*stream)).value() == 0);
    };
    const Address to{b.key(), 80};
    ask(stranger, {stranger.public_key, 50'000}, to, 1);
    ask(stranger, {a.key(), 50'000}, to, 1);
    ask(a.keys(), {crypto::PublicKey(), 50'000}, to, 1);
    ask(a.keys(), {a.key(), 0}, to, 1);
    ask(a.keys(), {a.key(), 50'000}, {crypto::PublicKey(), 80}, 1);
    ask(a.keys(), {a.key(), 50'000}, {b.key(), 0}, 1);
    ask(a.keys(), {a.key(), 50'000}, to, 0);
    CHECK(rig.refused_streams("request_source_key") == 2);
    CHECK(rig.refused_streams("request_signature") == 1);
    CHECK(rig.refused_streams("request_source_port") == 1);
    CHECK(rig.refused_streams("request_destination_key") == 1);
    CHECK(rig.refused_streams("request_destination_port") == 1);
    CHECK(rig.refused_streams("request_timestamp") == 1);
    // The destination never heard of any of it.
    CHECK(b.unanswered() == 0);
    CHECK(rig.server->status().client_sessions == 2);
}

TEST_CASE("server: bytes that are no object, and streams without a byte, cost a stream alone") {
    Rig rig;
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    auto garbage = a.session().mux().open().value();
    CHECK(rig.run(test::write_bytes(*garbage, Bytes(102, std::byte{0}))));
    auto nonsense = a.session().mux().open().value();
    Bytes sealed(200, std::byte{7});
    sealed[0] = std::byte{0};
    sealed[1] = std::byte{198};
    CHECK(rig.run(test::write_bytes(*nonsense, sealed)));
    CHECK(rig.run(test::read_end(*nonsense)).value() == 0);
    CHECK(rig.refused_streams("unreadable_request") == 1);
    auto mute = a.session().mux().open().value();
    rig.advance(6s);
    CHECK(rig.run(test::read_end(*mute)).value() == 0);
    CHECK(rig.refused_streams("no_request") == 1);
    Bridge bridge(rig, a, b);
    CHECK(rig.server->status().client_sessions == 2);
}

TEST_CASE("server: ping markers and IP look-ups are answered") {
    Rig rig;
    TestClient& a = rig.add("a");
    auto stream = a.session().mux().open().value();
    CHECK(rig.run(test::write_bytes(*stream, Bytes(2))));
    CHECK(rig.run(test::read_exactly(*stream, 10)).value() == Bytes(2));
    // A pipe has no IP address.
    const auto seen =
        rig.run(look_up_ip(rig.world.context, a.session(), a.keys(), 50'000, SteadyTime::max()));
    CHECK_FALSE(seen);
    CHECK(rig.world.loop.metrics.counter("dmsg_server_ping_markers_total", "").value() == 1);
}

TEST_CASE("server: streams to a key go to its newest session, and two of them stay") {
    Rig rig;
    TestClient& old = rig.add("a");
    TestClient& b = rig.add("b");
    TestClient& fresh = rig.add("a");
    CHECK(rig.server->status().client_sessions == 3);
    {
        Bridge towards(rig, b, fresh);
        Bridge from(rig, old, b);
    }
    CHECK_FALSE(old.ended());
    CHECK(rig.world.loop.metrics.counter("dmsg_server_sessions_replaced_total", "").value() == 0);
    TestClient& third = rig.add("a");
    rig.run(old.wait_ended());
    CHECK_FALSE(fresh.ended());
    CHECK(rig.server->status().client_sessions == 3);
    Bridge bridge(rig, b, third);
    CHECK(rig.world.loop.metrics.counter("dmsg_server_sessions_replaced_total", "").value() == 1);
}

TEST_CASE("server: a peer that is gone without a word is noticed within fifteen seconds") {
    Rig rig;
    TestClient& a = rig.add("a");
    rig.add("b");
    // `a` is not ticked and reads nothing more: its end of the pipe just stays.
    CHECK(rig.server->status().client_sessions == 2);
    auto [ours, theirs] = net::make_pipe(rig.world.context.loop);
    TestClient mute(rig.world.context, "mute");
    rig.server->serve(std::move(theirs));
    auto handshaken = rig.run(
        handshake_as_client(rig.world.context, std::move(ours), mute.keys(), kServerKeys.public_key)
    );
    REQUIRE(handshaken);
    rig.world.loop.settle();
    CHECK(rig.server->status().client_sessions == 3);
    rig.advance(15'500ms);
    CHECK(rig.server->status().client_sessions == 2);
    CHECK_FALSE(a.ended());
}

TEST_CASE("server: its entry is posted, renewed, follows the sessions, and is deleted") {
    Rig rig;
    CHECK(rig.registered);
    REQUIRE(rig.discovery.posts.size() == 1);
    CHECK(rig.discovery.posts[0].sequence == 0);
    CHECK(rig.discovery.posts[0].server->available_sessions == 2048);
    rig.add("a");
    rig.add("b");
    rig.advance(2s);
    REQUIRE(rig.discovery.posts.size() == 2);
    CHECK(rig.discovery.posts[1].sequence == 1);
    CHECK(rig.discovery.posts[1].server->available_sessions == 2046);
    rig.advance(61s);
    CHECK(rig.discovery.posts.size() == 3);
    rig.run(rig.server->drain(rig.world.clock.now() + 10s));
    CHECK(rig.discovery.entries.empty());
    CHECK(rig.discovery.erased == 1);
}

TEST_CASE("server: registers again where the discovery was away or knows a later sequence") {
    Rig rig;
    rig.discovery.entries[kServerKeys.public_key].sequence = 41;
    rig.advance(61s);
    CHECK(rig.discovery.posts.back().sequence == 42);
    rig.discovery.failure = fail(skywire::errc::unavailable, "the discovery is away");
    rig.advance(61s);
    CHECK(rig.server->status().trouble == "the discovery is away");
    rig.discovery.failure.reset();
    rig.advance(21s);
    CHECK(rig.server->status().trouble.empty());
}

TEST_CASE("server: is listed whatever the discovery's clock says") {
    Rig rig;
    rig.discovery.clock = &rig.world.clock;
    const Duration ahead = GENERATE(1h, -1h);
    for (const Duration each : {ahead, Duration(0), -ahead}) {
        rig.discovery.ahead = each;
        const std::size_t before = rig.discovery.posts.size();
        rig.advance(61s);
        REQUIRE(rig.discovery.posts.size() > before);
        const WallTime now = rig.world.clock.wall() + each;
        const Entry& posted = rig.discovery.posts.back();
        CHECK(std::abs(posted.timestamp - now.time_since_epoch().count()) < Duration(1min).count());
        CHECK(rig.discovery.entries.contains(kServerKeys.public_key));
        CHECK(rig.server->status().trouble.empty());
    }
}

TEST_CASE("server: a discovery that refuses its time and tells none is trouble") {
    Rig rig;
    rig.discovery.refusals.assign(100, Error(dmsg::errc::outdated_timestamp));
    rig.advance(61s);
    CHECK_THAT(rig.server->status().trouble, Catch::Contains("outdated timestamp"));
    rig.discovery.refusals.clear();
    rig.advance(21s);
    CHECK(rig.server->status().trouble.empty());
}

TEST_CASE("server: drains: says so, takes nothing new, waits for the streams") {
    Rig rig;
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    Bridge bridge(rig, a, b);
    Started<Result<bool>> drained(rig.world.loop, [](Rig& of) -> Task<Result<bool>> {
        co_await of.server->drain(of.world.clock.now() + 1h);
        co_return true;
    }(rig));
    rig.run(a.wait_gone_away());
    CHECK_FALSE(drained.ended());
    CHECK_FALSE(rig.run(a.dial(b.key())));
    CHECK(rig.run(test::write_bytes(*bridge.near, test::pattern(1000))));
    CHECK(rig.run(test::read_exactly(*bridge.far, 1000)).value() == test::pattern(1000));
    bridge.near->close();
    CHECK(drained.wait());
}

TEST_CASE("server: limits of sessions, streams and set-ups") {
    ServerOptions options = server_options();
    options.limits.sessions_max = 2;
    options.limits.setups_per_session_max = 3;
    Rig rig(std::move(options));
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    TestClient surplus(rig.world.context, "c");
    CHECK(rig.run(surplus.connect(rig.carrier(), kServerKeys.public_key)));
    rig.run(surplus.wait_ended());
    rig.run(surplus.close());
    CHECK(rig.refused_sessions("sessions") == 1);
    // Who is there already may come back.
    rig.add("a");
    rig.run(a.wait_ended());
    CHECK(rig.server->status().client_sessions == 2);

    std::vector<std::unique_ptr<mux::Stream>> mute;
    mute.reserve(4);
    for (int i = 0; i < 4; ++i)
        mute.push_back(b.session().mux().open().value());
    rig.world.loop.settle();
    CHECK(rig.refused_streams("too_many_setups") == 1);
}

TEST_CASE("server: a key that comes too often waits a moment") {
    ServerOptions options = server_options();
    options.limits.new_sessions_per_key_per_minute = 3;
    Rig rig(std::move(options));
    for (int i = 0; i < 3; ++i)
        rig.add("a");
    TestClient again(rig.world.context, "a");
    CHECK(rig.run(again.connect(rig.carrier(), kServerKeys.public_key)));
    rig.run(again.wait_ended());
    rig.run(again.close());
    CHECK(rig.refused_sessions("rate_of_key") == 1);
    CHECK(rig.server->status().client_sessions == 2);
    rig.advance(21s);
    rig.add("a");
    CHECK(rig.server->status().client_sessions == 2);
    CHECK(rig.refused_sessions("rate_of_key") == 1);
}

TEST_CASE("server: connections that say nothing, or something else") {
    Rig rig;
    const auto mute = rig.carrier();
    const auto other = rig.carrier();
    CHECK(rig.run(test::write_bytes(*other, Bytes(4, std::byte{0x16}))));
    CHECK(over(rig, *other));
    CHECK(rig.refused_sessions("unknown_protocol") == 1);
    rig.advance(6s);
    CHECK(over(rig, *mute));
    CHECK(rig.refused_sessions("handshake_timed_out") == 1);
}

TEST_CASE("server: a bridge without a byte for too long is closed") {
    ServerOptions options = server_options();
    options.idle_timeout = 5min;
    Rig rig(std::move(options));
    TestClient& a = rig.add("a");
    TestClient& b = rig.add("b");
    Bridge idle(rig, a, b);
    Bridge used(rig, a, b);
    for (int i = 0; i < 31; ++i) {
        rig.advance(10s);
        CHECK(rig.run(test::write_bytes(*used.near, test::pattern(1))));
    }
    CHECK(rig.run(test::read_end(*idle.far)).value() == 0);
    CHECK(rig.server->status().active_streams == 1);
}

}  // namespace skywire::dmsg
