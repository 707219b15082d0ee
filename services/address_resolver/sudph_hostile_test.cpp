// The UDP side: datagrams of those who mean no good.

#include "services/address_resolver/test_sudph.hpp"

namespace skywire::resolver {

TEST_CASE("sudph: a handshake out of order, for others, forged or replayed is refused and counted"
) {
    SudphOptions options;
    options.own_key = keys_of("ar").public_key;
    Rig rig(1, options);
    Visor honest(rig, "honest");
    honest.bind();
    Visor bad(rig, "bad");
    const auto expect_nothing = [&](std::string_view why) {
        INFO(why);
        CHECK_FALSE(bad.read(2s));
        CHECK_FALSE(rig.listed(bad.key()));
        CHECK(rig.sudph.sessions() == 1);
    };

    bad.dial();
    bad.write(R"({"port":"1","addresses":[]})");
    expect_nothing("a bind first");
    bad.dial();
    bad.write("heartbeat");
    expect_nothing("a heartbeat first");
    CHECK(rig.refused("handshake_malformed") == 2);

    transport::RawHello hello;
    hello.source = {bad.key(), 0};
    const auto answer_nonce = [&](auto change) {
        bad.dial();
        bad.write("get_nonce");
        const std::string nonce = bad.read().value();
        hello.nonce = {};
        const json::value said = parse_json(nonce).value();
        for (std::size_t i = 0; i < hello.nonce.size(); ++i) {
            hello.nonce[i] =
                static_cast<std::byte>(said.at("Nonce").as_array()[i].to_number<int>());
        }
        hello.signature = crypto::sign(bad.keys.secret_key, as_bytes(hello.signed_text()));
        change();
        bad.write(hello.line());
    };
    answer_nonce([&] { hello.source.key = honest.key(); });
    expect_nothing("another's key");
    hello.source.key = bad.key();
    answer_nonce([&] { hello.signature = crypto::Signature(); });
    expect_nothing("no signature");
    answer_nonce([] {});
    CHECK(bad.read().value() == "{\"OK\":true,\"ErrMsg\":\"\"}\n");
    rig.world.run_for(31s);
    CHECK(rig.refused("no_bind") == 1);
    CHECK(rig.sudph.sessions() == 1);
    const transport::RawHello used = hello;
    answer_nonce([&] { hello = used; });
    expect_nothing("a line of before");
    CHECK(rig.refused("handshake_forged") == 3);

    const auto elsewhere = bad.shake_hands(30178, {keys_of("visor x").public_key, 45});
    CHECK(elsewhere.error() == make_error_code(errc::forbidden));
    CHECK(rig.refused("handshake_destination") == 1);
    CHECK(bad.shake_hands(30178, {keys_of("ar").public_key, 0}));

    bad.dial();
    bad.write("get_nonce");
    CHECK(bad.read());
    rig.world.run_for(11s);
    CHECK(rig.refused("handshake_timeout") == 1);
    CHECK(rig.lookup(honest.key()));
}

TEST_CASE("sudph: a first message that is no bind ends the session") {
    Rig rig;
    Visor visor(rig, "visor");
    for (const std::string_view first : {"heartbeat", "{}", R"({"port":1})", "delBind"}) {
        REQUIRE(visor.shake_hands());
        visor.write(std::string(first));
        rig.world.run_for(1s);
        CHECK(rig.sudph.sessions() == 0);
    }
    CHECK(rig.refused("no_bind") == 4);
}

TEST_CASE("sudph: forged datagrams from a visor's address do not end its session") {
    Rig rig;
    Visor visor(rig, "visor");
    visor.bind();
    visor.forge(40);
    rig.world.run_for(1s);
    visor.live(1min);
    CHECK(rig.listed(visor.key()));
}

TEST_CASE("sudph: garbage changes nothing") {
    Rig rig;
    Visor visor(rig, "visor");
    visor.bind();
    Socket socket(rig, "somebody", 9);
    SeededRandom random(3);
    for (std::size_t size = 0; size < 400; ++size) {
        Bytes garbage(size * 4);
        random.fill(garbage);
        if (size > 1) garbage[4] = std::byte{0};
        socket.send(garbage);
    }
    Bytes longer = first_datagram(1, "get_nonce");
    longer[20] = std::byte{0xff};
    socket.send(longer);
    CHECK_FALSE(socket.receive(1s));
    CHECK(rig.sudph.sessions() == 1);
    CHECK(
        rig.node.metrics().counter("kcp_refused_total", "", {{"reason", "no_kcp"}}).value() == 401
    );
    visor.live(10s);
}

TEST_CASE("sudph: many keys of one address leave room for others") {
    SudphOptions options;
    options.sessions_max = kSessionsOfIpMin * kPartOfIp;
    Rig rig(1, options);
    std::vector<std::unique_ptr<Visor>> crowd;
    for (std::size_t i = 0; i <= kSessionsOfIpMin; ++i) {
        crowd.push_back(std::make_unique<Visor>(rig, "crowd", static_cast<std::uint16_t>(4000 + i))
        );
        crowd.back()->keys = keys_of("crowd " + std::to_string(i));
        crowd.back()->bind();
    }
    CHECK(rig.refused("sessions_of_ip") == 1);
    CHECK(rig.sudph.sessions() == kSessionsOfIpMin);
    CHECK_FALSE(rig.listed(crowd.back()->key()));
    // One of them again is not one more.
    crowd.front()->bind();
    CHECK(rig.sudph.sessions() == kSessionsOfIpMin);
    Visor elsewhere(rig, "elsewhere");
    elsewhere.bind();
    CHECK(rig.listed(elsewhere.key()));
}

TEST_CASE("sudph: notices that a visor cannot take do not end its session") {
    Rig rig;
    Visor visor(rig, "visor");
    Visor caller(rig, "caller");
    visor.bind();
    caller.bind();
    rig.world.cut(rig.node, visor.node, sim::Direction::forward);
    for (int i = 0; i < 40; ++i) {
        rig.sudph.introduce(visor.key(), caller.key());
        rig.world.run_for(100ms);
    }
    for (int i = 0; i < 6; ++i) {
        visor.write("heartbeat");
        rig.world.run_for(10s);
    }
    const Counter& late = rig.node.metrics().counter("address_resolver_udp_echoes_late_total", "");
    CHECK(late.value() > 0);
    CHECK(rig.sudph.sessions() == 2);
    CHECK(rig.listed(visor.key()));
    rig.world.heal();
    rig.world.run_for(2min);
    while (const auto notice = visor.read(1s))
        CHECK_FALSE(notice->empty());
    visor.live(1min);
}

TEST_CASE("sudph: a flood from many ports keeps nobody out, holds no more than its bounds") {
    Rig rig;
    Visor visor(rig, "visor");
    visor.bind();
    const Bytes first = first_datagram(1, "get_nonce");
    std::vector<std::unique_ptr<Socket>> flood;
    for (int ip = 0; ip < 8; ++ip) {
        for (std::uint16_t port = 0; port < 100; ++port) {
            flood.push_back(std::make_unique<Socket>(
                rig, fmt::format("10.77.0.{}", ip + 1), static_cast<std::uint16_t>(1000 + port)
            ));
            flood.back()->send(first);
        }
        rig.world.run_for(20ms);
        const double sessions = rig.node.metrics().gauge("kcp_sessions", "").value();
        CHECK(sessions <= 1 + kHandshakesMax);
    }
    CHECK(rig.refused("handshake_evicted") == 800 - kHandshakesMax);
    Visor late(rig, "late");
    late.bind();
    CHECK(rig.listed(late.key()));
    visor.live(20s);
    CHECK(rig.listed(visor.key()));
    rig.world.run_for(30s);
    CHECK(rig.node.metrics().gauge("kcp_sessions", "").value() == 2);
    CHECK(rig.refused("handshake_timeout") <= kHandshakesMax);
}

}  // namespace skywire::resolver
