// The UDP side: the recorded trace, visors that live and die.

#include "services/address_resolver/test_recording.hpp"

namespace skywire::resolver {

TEST_CASE("sudph: the recorded trace of two visors") {
    Rig rig;
    keep_order(rig.world);
    const auto first = recording("visor1");
    const auto second = recording("visor2");
    rig.random.script = {nonce_in(first), nonce_in(second)};
    Socket visor1(rig, "visor1", 45890);
    Socket visor2(rig, "visor2", 48184);
    replay_bind(first, visor1);
    replay_bind(second, visor2);
    const auto key1 = key_in_vectors("visor1");
    const auto key2 = key_in_vectors("visor2");
    CHECK(rig.listed(key1));
    CHECK(rig.listed(key2));
    CHECK(rig.clients() == 2);
    const auto bound = rig.lookup(key1);
    REQUIRE(bound);
    CHECK(
        to_answer(*bound) ==
        R"({"remote_addr":")" + visor1.address() + R"(","port":"45890","addresses":["127.0.0.1"]})"
    );

    // Visor 2 asks for visor 1: that one hears of it.
    rig.sudph.introduce(key1, key2);
    const auto notice = visor1.receive();
    REQUIRE(notice);
    CHECK(
        data_of(*notice) ==
        R"({"PK":")" + key2.to_text() + R"(","Addr":")" + visor2.address() + R"("})"
    );
    CHECK_FALSE(visor2.receive());

    for (const std::string_view message : {"heartbeat", "delBind"}) {
        for (const Recorded& each : first) {
            if (!each.to_server || data_of(each.bytes) != message) continue;
            visor1.send(each.bytes);
            const auto answer = visor1.receive();
            REQUIRE(answer);
            rig.world.run_for(1s);
        }
        CHECK(rig.listed(key1) == (message == "heartbeat"));
    }
    CHECK(rig.listed(key2));
    CHECK_FALSE(rig.lookup(key1));
    CHECK(rig.clients() == 1);
}

TEST_CASE("sudph: both ports serve one table") {
    Rig rig;
    Visor one(rig, "one");
    Visor two(rig, "two");
    one.bind(30178);
    two.bind(9093);
    CHECK(rig.listed(one.key()));
    CHECK(rig.listed(two.key()));
    CHECK(rig.sudph.sessions() == 2);
    rig.sudph.introduce(two.key(), one.key());
    CHECK(
        two.read().value() == R"({"PK":")" + one.key().to_text() + R"(","Addr":")" +
                                  one.node.at(4000).to_string() + R"("})"
    );
    CHECK(rig.notices("sent") == 1);
}

TEST_CASE("sudph: nobody is told of a caller without a binding, nor without a session here") {
    Rig rig;
    Visor visor(rig, "visor");
    visor.bind();
    const auto caller = keys_of("caller").public_key;
    rig.sudph.introduce(visor.key(), caller);
    CHECK_FALSE(visor.read(2s));
    rig.sudph.introduce(caller, visor.key());
    CHECK(rig.notices("no_session") == 1);
    CHECK(rig.notices("sent") == 0);
}

TEST_CASE("sudph: heartbeats are echoed and keep a binding; silence hides it, and they restore it"
) {
    Rig rig;
    Visor visor(rig, "visor");
    visor.bind();
    visor.live(1h);
    CHECK(rig.listed(visor.key()));
    rig.world.run_for(2min + 40s);
    CHECK(rig.listed(visor.key()));
    rig.world.run_for(25s);
    CHECK_FALSE(rig.listed(visor.key()));
    CHECK_FALSE(rig.lookup(visor.key()));
    rig.world.run_for(50min);
    CHECK(rig.sudph.sessions() == 1);
    visor.live(10s);
    CHECK(rig.listed(visor.key()));
    CHECK(rig.lookup(visor.key())->remote_addr == visor.node.at(4000).to_string());
    rig.world.run_for(61min);
    CHECK(rig.sudph.sessions() == 0);
}

TEST_CASE("sudph: a visor behind a cut link comes back with its next heartbeat") {
    Rig rig;
    Visor visor(rig, "visor");
    Visor caller(rig, "caller");
    visor.bind();
    caller.bind();
    rig.world.cut(rig.node, visor.node);
    // Notices that are not acknowledged do not end the session.
    rig.sudph.introduce(visor.key(), caller.key());
    rig.world.run_for(10min);
    rig.world.heal();
    rig.world.run_for(2min);
    visor.write("heartbeat");
    rig.world.run_for(1min);
    CHECK(rig.listed(visor.key()));
}

TEST_CASE("sudph: a visor that was started again replaces its session") {
    Rig rig;
    Visor before(rig, "visor", 4000);
    before.bind();
    Visor after(rig, "visor", 4001);
    after.bind();
    CHECK(rig.sudph.sessions() == 1);
    CHECK(rig.lookup(after.key())->remote_addr == after.node.at(4001).to_string());
    rig.world.run_for(1min);
    CHECK(rig.listed(after.key()));
    // The old one is not heard any more.
    before.write("delBind");
    rig.world.run_for(10s);
    CHECK(rig.listed(after.key()));
    after.write("delBind");
    rig.world.run_for(10s);
    CHECK_FALSE(rig.listed(after.key()));
    CHECK(rig.sudph.sessions() == 0);
}

TEST_CASE("sudph: a bind again, and what visors of 2026 say") {
    Rig rig;
    Visor visor(rig, "visor");
    REQUIRE(visor.shake_hands());
    visor.write(R"({"port":"1","addresses":["10.0.0.1"],"public_ip":"203.0.113.7"})");
    rig.world.run_for(1s);
    CHECK(rig.lookup(visor.key())->remote_addr == "203.0.113.7:1");
    visor.write(R"({"port":"2","addresses":["10.0.0.1"],"public_ip":"203.0.113.8"})");
    rig.world.run_for(1s);
    CHECK(rig.lookup(visor.key())->remote_addr == "203.0.113.8:2");
    for (const std::string_view nonsense : {"hello", "{}", R"({"port":""})", "[]", "{"}) {
        visor.write(std::string(nonsense));
        rig.world.run_for(1s);
    }
    CHECK(rig.lookup(visor.key())->port == "2");
    CHECK(rig.sudph.sessions() == 1);
}

TEST_CASE("sudph: a store that fails is told of, and the sessions go on") {
    std::vector<std::string> told;
    SudphOptions options;
    options.on_store_failure = [&](const Error& error) { told.push_back(error.message()); };
    Rig rig(1, std::move(options));
    Visor visor(rig, "visor");
    visor.bind();
    CHECK(told.empty());
    REQUIRE(rig.world.run(rig.store->close(rig.world.clock().now() + 1min)));
    rig.world.run_for(2min);
    visor.live(20s);
    CHECK(told.size() >= 2);
    CHECK(rig.sudph.sessions() == 1);
    visor.write(R"({"resolve":")" + visor.key().to_text() + R"(","id":7})");
    CHECK(visor.read().value() == R"({"resolved":7,"err":"internal error"})");
    const std::size_t before = told.size();
    visor.write("delBind");
    rig.world.run_for(10s);
    CHECK(told.size() == before + 1);
    CHECK(rig.sudph.sessions() == 0);
    auto& counted = rig.node.metrics().counter("address_resolver_udp_store_failures_total", "");
    CHECK(counted.value() == told.size());
}

TEST_CASE("sudph: visors resolve over their session") {
    Rig rig;
    Visor caller(rig, "caller");
    Visor wanted(rig, "wanted");
    caller.bind();
    wanted.bind();
    caller.write(R"({"resolve":")" + wanted.key().to_text() + R"(","id":7})");
    CHECK(
        caller.read().value() == R"({"resolved":7,"found":true,"data":{"remote_addr":")" +
                                     wanted.node.at(4000).to_string() +
                                     R"(","port":"45890","addresses":["127.0.0.1"]}})"
    );
    CHECK(wanted.read().value().find(caller.key().to_text()) != std::string::npos);
    caller.write(R"({"resolve":")" + keys_of("nobody").public_key.to_text() + R"(","id":8})");
    CHECK(caller.read().value() == R"({"resolved":8})");
    caller.write(R"({"resolve":"zz","id":"x"})");
    CHECK(caller.read().value() == R"({"resolved":0,"err":"Invalid public key"})");
}

TEST_CASE("sudph: a deregistered visor is gone until it binds again") {
    Rig rig;
    Visor visor(rig, "visor");
    visor.bind();
    REQUIRE(rig.world.run(rig.sudph.deregister(visor.key())));
    visor.live(2min);
    CHECK_FALSE(rig.listed(visor.key()));
    visor.write(R"({"port":"45890","addresses":[]})");
    rig.world.run_for(1s);
    CHECK(rig.listed(visor.key()));
}

TEST_CASE("sudph: another resolver on the same store answers for a visor, but cannot tell it") {
    Rig rig;
    sim::Node& node = rig.world.node("ar2.example");
    Bindings bindings(*rig.store, {});
    SudphOptions options;
    options.addresses = {{"udp_addr", node.at(30178)}};
    Sudph other(node.context(), bindings, options);
    REQUIRE(other.bind());
    other.start();
    Visor visor(rig, "visor");
    Visor caller(rig, "caller");
    visor.bind();
    caller.bind();
    const auto found_there = [&] {
        return rig.world.run(other.lookup(visor.key())).value().has_value();
    };
    CHECK(found_there());
    CHECK(rig.world.run(other.list()).value().size() == 2);
    other.introduce(visor.key(), caller.key());
    CHECK_FALSE(visor.read(2s));
    visor.live(10min);
    CHECK(found_there());
    rig.world.run_for(4min);
    CHECK_FALSE(found_there());
    CHECK(rig.world.run(other.stop(rig.world.clock().now() + 1min)).empty());
}

TEST_CASE("sudph: all goes well on a bad day") {
    sim::for_each_seed(5, [](std::uint64_t seed) {
        Rig rig(seed);
        rig.world.set_links(sim::LinkOptions::rough());
        Visor one(rig, "one");
        Visor two(rig, "two");
        one.bind();
        two.bind();
        REQUIRE(rig.world.run_until(
            [&] { return rig.listed(one.key()) && rig.listed(two.key()); }, 1min
        ));
        rig.sudph.introduce(one.key(), two.key());
        CHECK(one.read(2min).value().find(two.key().to_text()) != std::string::npos);
    });
}

}  // namespace skywire::resolver
