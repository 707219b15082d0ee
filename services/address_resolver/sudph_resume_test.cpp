// The UDP side after a restart: visors that go on in the conversation of before.

#include "services/address_resolver/test_recording.hpp"
#include "services/common/test_store.hpp"

namespace skywire::resolver {
namespace {

/// The resolver of a rig, ended and started again on the same store.
class Restarted {
 public:
    explicit Restarted(Rig& rig, Duration down = 2s)
        : rig_(rig), sudph(rig.context, rig.bindings, Rig::at(rig.node, {})) {
        const SteadyTime deadline = rig.world.clock().now() + 1min;
        CHECK(rig.world.run(rig.sudph.stop(deadline)).empty());
        rig.world.run_for(down);
        REQUIRE(rig.world.run(sudph.open()));
        REQUIRE(sudph.bind());
        sudph.start();
    }
    ~Restarted() { CHECK(rig_.world.run(sudph.stop(rig_.world.clock().now() + 1min)).empty()); }
    Restarted(const Restarted&) = delete;
    Restarted& operator=(const Restarted&) = delete;

    bool listed(const crypto::PublicKey& key) {
        const auto keys = rig_.world.run(sudph.list()).value();
        return std::find(keys.begin(), keys.end(), key) != keys.end();
    }

 private:
    Rig& rig_;

 public:
    Sudph sudph;
};

/// A store that others write to, too, as far as its users know; counts the calls for a set.
class SharedStore final : public store::Store {
 public:
    explicit SharedStore(store::Store& store) : store_(store) {}

    Task<Result<std::optional<std::string>>> get(std::string key) override {
        return store_.get(std::move(key));
    }
    Task<Result<std::vector<std::optional<std::string>>>> get_many(std::vector<std::string> keys
    ) override {
        return store_.get_many(std::move(keys));
    }
    Task<Result<bool>> apply(store::Batch batch) override { return store_.apply(std::move(batch)); }
    Task<Result<std::vector<std::string>>> members(std::string key) override {
        ++reads;
        return store_.members(std::move(key));
    }
    Task<Result<std::vector<std::string>>> sample(std::string key, std::size_t count) override {
        return store_.sample(std::move(key), count);
    }
    Task<Result<std::uint64_t>> count(std::string key) override {
        return store_.count(std::move(key));
    }
    Task<Result<std::uint64_t>> increment(std::string key) override {
        return store_.increment(std::move(key));
    }
    Task<Result<>> ping() override { return store_.ping(); }
    std::string_view kind() const noexcept override { return "redis"; }
    Task<Result<>> close(SteadyTime deadline) override { return store_.close(deadline); }

    int reads = 0;

 private:
    store::Store& store_;
};

std::uint64_t strays(Rig& rig) {
    return rig.node.metrics().counter("kcp_refused_total", "", {{"reason", "stray"}}).value();
}

std::uint64_t resumed(Rig& rig) {
    return rig.node.metrics().counter("address_resolver_udp_resumed_total", "").value();
}

Bytes recorded_message(std::string_view text) {
    for (const Recorded& each : recording("visor1"))
        if (each.to_server && data_of(each.bytes) == text) return each.bytes;
    throw std::runtime_error("not recorded");
}

std::vector<net::KcpHead> heads_of(ByteSpan datagram) {
    std::vector<net::KcpHead> heads;
    while (const auto head = net::read_kcp_head(datagram)) {
        heads.push_back(*head);
        datagram = datagram.subspan(net::KcpHead::kSize + head->length);
    }
    return heads;
}

/// What the resolver sends until it is silent.
std::vector<net::KcpHead> answers(Socket& socket) {
    std::vector<net::KcpHead> all;
    while (const auto answer = socket.receive(50ms))
        for (const net::KcpHead& head : heads_of(*answer))
            all.push_back(head);
    return all;
}

Bytes segment(const net::KcpHead& head, std::string_view data) {
    // A session that stands where the segment is to come from.
    net::KcpPosition position;
    position.conversation = head.conversation;
    position.send_next = head.sequence;
    position.receive_next = head.unacknowledged;
    net::KcpSession session(position, SteadyTime(), {}, SteadyTime());
    session.write(as_bytes(data), SteadyTime());
    return session.take_output().front();
}

Bytes segment(std::uint32_t conversation, std::uint32_t sequence) {
    net::KcpHead head;
    head.conversation = conversation;
    head.sequence = sequence;
    head.unacknowledged = 2;
    return segment(head, "heartbeat");
}

}  // namespace

TEST_CASE("resume: a recorded visor goes on in its conversation, at its numbers") {
    Rig rig;
    keep_order(rig.world);
    const auto first = recording("visor1");
    rig.random.script = {nonce_in(first)};
    Socket visor(rig, "visor1", 45890);
    replay_bind(first, visor);
    const auto key = key_in_vectors("visor1");
    REQUIRE(rig.listed(key));
    Restarted again(rig);
    CHECK(again.listed(key));
    CHECK(again.sudph.sessions() == 0);

    visor.send(recorded_message("heartbeat"));
    auto heads = answers(visor);
    REQUIRE(heads.size() >= 2);
    CHECK(heads[0].command == net::KcpCommand::ack);
    CHECK(heads[0].sequence == 3);
    CHECK(heads[0].unacknowledged == 4);
    // The echo is the third message that the visor gets: it has two.
    CHECK(heads[1].command == net::KcpCommand::push);
    CHECK(heads[1].sequence == 2);
    CHECK(heads[1].conversation == 0xa5c3cc6c);
    CHECK(again.sudph.sessions() == 1);
    CHECK(resumed(rig) == 1);
    CHECK(again.listed(key));

    // Sent when the visor had two messages more than when it was resumed.
    visor.send(recorded_message("delBind"));
    heads = answers(visor);
    REQUIRE_FALSE(heads.empty());
    CHECK(heads[0].sequence == 4);
    CHECK(heads[0].unacknowledged == 5);
    CHECK_FALSE(again.listed(key));
    CHECK(again.sudph.sessions() == 0);
    CHECK(strays(rig) == 0);
}

TEST_CASE("resume: a visor stays bound through restarts, and hears of who dials it") {
    Rig rig;
    Visor visor(rig, "visor");
    Visor caller(rig, "caller");
    visor.bind();
    caller.bind(9093);
    visor.live(1min);
    std::uint64_t times = 0;
    // Beyond four minutes the binding has ended, the session has not.
    for (const Duration down : {Duration(1s), Duration(30s), Duration(10min), Duration(45min)}) {
        Restarted again(rig, down);
        visor.live(10s);
        caller.live(10s);
        times += 2;
        CHECK(resumed(rig) == times);
        CHECK(again.sudph.report().bound == 2);
        again.sudph.introduce(visor.key(), caller.key());
        CHECK(
            visor.read().value() == R"({"PK":")" + caller.key().to_text() + R"(","Addr":")" +
                                        caller.node.at(4000).to_string() + R"("})"
        );
        for (int i = 0; i < 60; ++i) {
            visor.live(10s);
            caller.live(10s);
        }
        CHECK(again.listed(visor.key()));
        CHECK(again.listed(caller.key()));
    }
}

TEST_CASE("resume: what was under way at the time of the restart arrives") {
    sim::for_each_seed(5, [](std::uint64_t seed) {
        Rig rig(seed);
        rig.world.set_links(sim::LinkOptions::rough());
        Visor visor(rig, "visor");
        Visor caller(rig, "caller");
        visor.bind();
        caller.bind();
        REQUIRE(rig.world.run_until(
            [&] { return rig.listed(visor.key()) && rig.listed(caller.key()); }, 1min
        ));
        // Its acknowledgement is lost with the resolver, maybe, as is the echo.
        visor.write("heartbeat");
        rig.sudph.introduce(visor.key(), caller.key());
        rig.world.run_for(std::chrono::milliseconds(seed % 7 * 30));
        Restarted again(rig, 5s);
        visor.write("heartbeat");
        caller.write("heartbeat");
        REQUIRE(rig.world.run_until([&] { return again.sudph.sessions() == 2; }, 2min));
        while (visor.read(30s)) {
        }
        again.sudph.introduce(visor.key(), caller.key());
        CHECK(visor.read(2min).value().find(caller.key().to_text()) != std::string::npos);
        visor.write("delBind");
        REQUIRE(rig.world.run_until([&] { return !again.listed(visor.key()); }, 2min));
    });
}

TEST_CASE("resume: other addresses and other conversations are refused and counted") {
    Rig rig;
    keep_order(rig.world);
    const auto first = recording("visor1");
    rig.random.script = {nonce_in(first)};
    Socket visor(rig, "visor1", 45890);
    replay_bind(first, visor);
    const auto key = key_in_vectors("visor1");
    Restarted again(rig);
    Socket same_ip(rig, "visor1", 45891);
    Socket elsewhere(rig, "somebody", 45890);
    const Bytes heartbeat = recorded_message("heartbeat");
    same_ip.send(heartbeat);
    elsewhere.send(heartbeat);
    CHECK(answers(same_ip).empty());
    CHECK(answers(elsewhere).empty());
    CHECK(strays(rig) == 2);
    // The address alone can be forged by anybody.
    for (std::uint32_t i = 1; i <= 300; ++i)
        visor.send(segment(0xa5c3cc6c + i, 3));
    CHECK(answers(visor).empty());
    CHECK(strays(rig) == 302);
    // No push: nobody knows what the visor sends next.
    Bytes ack = heartbeat;
    ack.resize(net::KcpHead::kSize);
    ack[4] = std::byte{82};
    ack[20] = std::byte{0};
    visor.send(ack);
    CHECK(answers(visor).empty());
    CHECK(strays(rig) == 303);
    CHECK(resumed(rig) == 0);
    CHECK(again.sudph.sessions() == 0);

    visor.send(heartbeat);
    CHECK_FALSE(answers(visor).empty());
    CHECK(again.listed(key));
    CHECK(again.sudph.report().accepted == 1);
}

TEST_CASE("resume: sessions that have ended, and those of before a newer bind, do not go on") {
    Rig rig;
    Visor gone(rig, "gone");
    Visor dropped(rig, "dropped");
    Visor before(rig, "visor", 4000);
    for (Visor* each : {&gone, &dropped, &before})
        each->bind();
    Visor after(rig, "visor", 4001);
    after.bind();
    gone.write("delBind");
    rig.world.run_for(1s);
    REQUIRE(rig.world.run(rig.sudph.deregister(dropped.key())));
    Restarted again(rig);
    for (Visor* each : {&gone, &dropped, &before}) {
        each->write("heartbeat");
        CHECK_FALSE(each->read(2s));
    }
    CHECK(strays(rig) > 3);
    CHECK(again.sudph.sessions() == 0);
    // Read at the start, and dropped by somebody else since.
    REQUIRE(rig.world.run(rig.bindings.erase(Type::sudph, after.key())));
    after.write("heartbeat");
    rig.world.run_for(2s);
    CHECK(rig.refused("not_resumed") == 1);
    CHECK(resumed(rig) == 0);
    CHECK_FALSE(again.listed(after.key()));
}

TEST_CASE("resume: a visor that has shaken hands again is not replaced by what was before") {
    Rig rig;
    Visor before(rig, "visor", 4000);
    before.bind();
    Restarted again(rig);
    Visor after(rig, "visor", 4001);
    REQUIRE(after.shake_hands());
    before.write("heartbeat");
    rig.world.run_for(2s);
    CHECK(rig.refused("not_resumed") == 1);
    after.write(R"({"port":"1","addresses":[]})");
    after.live(1min);
    CHECK(rig.lookup(after.key())->remote_addr == after.node.at(4001).to_string());
}

TEST_CASE("resume: after an hour, and over a store that ends with the process, nothing goes on") {
    Rig rig;
    Visor visor(rig, "visor");
    visor.bind();
    {
        Restarted again(rig, 61min);
        visor.write("heartbeat");
        CHECK_FALSE(visor.read(1min));
        CHECK(again.sudph.sessions() == 0);
    }
    CHECK(strays(rig) > 0);

    Bindings::Options options;
    options.keep_sessions = false;
    Bindings bindings(*rig.store, options);
    KeptSession session;
    session.from = net::Address::tcp("203.0.113.7", 1);
    REQUIRE(rig.world.run(bindings.put_session(visor.key(), session)));
    CHECK(rig.world.run(bindings.sessions(10)).value().empty());
}

TEST_CASE("resume: kept sessions lie in every store beside their bindings") {
    using services::TestStore;
    using services::TestWorld;
    std::optional<store::RedisServer> server;
    if (store::RedisServer::installed()) server.emplace();
    std::vector<services::StoreConfig> configs{TestStore::memory(), TestStore::snapshot()};
    if (server) configs.push_back(TestStore::redis(*server));
    for (const auto& config : configs) {
        TestWorld world;
        TestStore store(world, config);
        Bindings bindings(store.raw(), {});
        KeptSession kept;
        kept.from = net::Address::parse("[2a01::7]:45890").value();
        kept.conversation = 0xffffffff;
        kept.binding.remote_addr = "[2a01::7]:45890";
        kept.binding.port = "45890";
        for (int i = 0; i < 20; ++i) {
            const auto key = keys_of(std::to_string(i)).public_key;
            REQUIRE(world.loop.run(bindings.put_session(key, kept)));
        }
        const auto key = keys_of("0").public_key;
        CHECK(world.loop.run(bindings.session(key)).value() == kept);
        CHECK(world.loop.run(bindings.get(Type::sudph, key)).value() == kept.binding);
        CHECK(world.loop.run(bindings.sessions(100)).value().size() == 20);
        CHECK(world.loop.run(bindings.sessions(7)).value().size() == 7);
        REQUIRE(world.loop.run(bindings.erase(Type::sudph, key)));
        CHECK_FALSE(world.loop.run(bindings.session(key)).value());
        CHECK(world.loop.run(bindings.sessions(100)).value().size() == 19);
        CHECK(world.loop.run(bindings.list(Type::sudph)).value().size() == 19);
    }
}

TEST_CASE("resume: a resolver that runs already reads a shared store again, not for each datagram"
) {
    Rig rig;
    SharedStore shared(*rig.store);
    Bindings bindings(shared, {});
    Sudph other(rig.context, bindings, Rig::at(rig.node, {}));
    REQUIRE(rig.world.run(other.open()));
    CHECK(shared.reads == 1);
    Visor visor(rig, "visor");
    visor.bind();
    const SteadyTime deadline = rig.world.clock().now() + 1min;
    CHECK(rig.world.run(rig.sudph.stop(deadline)).empty());
    // It gets the address of the one that is gone.
    REQUIRE(other.bind());
    other.start();
    Socket socket(rig, "somebody", 9);
    for (std::uint32_t i = 0; i < 3000; ++i) {
        socket.send(segment(i, 3));
        rig.world.run_for(100ms);
    }
    CHECK(shared.reads > 1);
    CHECK(shared.reads <= 6);
    visor.live(1min);
    CHECK(other.sessions() == 1);
    CHECK(resumed(rig) == 1);
    CHECK(rig.world.run(other.stop(rig.world.clock().now() + 1min)).empty());
}

TEST_CASE("resume: while the store fails nobody goes on, and nobody is forgotten") {
    Rig rig;
    Visor visor(rig, "visor");
    visor.bind();
    Resumption resumption(rig.bindings, rig.world.clock(), 10);
    REQUIRE(rig.world.run(resumption.load()));
    const net::Address from = visor.node.at(4000);
    const auto kept = rig.world.run(rig.bindings.session(visor.key())).value();
    REQUIRE(kept);
    REQUIRE(rig.world.run(rig.store->close(rig.world.clock().now() + 1min)));
    CHECK_FALSE(rig.world.run(resumption.take(from, kept->conversation)));
    CHECK(resumption.holds(from, kept->conversation));
}

TEST_CASE("resume: a resolver takes over the visors of another one on the same Redis") {
    using services::TestStore;
    using services::TestWorld;
    if (!store::RedisServer::installed()) return;
    store::RedisServer server;
    TestWorld world;
    TestStore one(world, TestStore::redis(server));
    TestStore two(world, TestStore::redis(server));
    Bindings written(one.raw(), {});
    Bindings read(two.raw(), {});
    Resumption resumption(read, world.clock, 100);
    REQUIRE(world.loop.run(resumption.load()));
    KeptSession kept;
    kept.from = net::Address::tcp("203.0.113.7", 45890);
    kept.conversation = 7;
    const auto key = keys_of("visor").public_key;
    REQUIRE(world.loop.run(written.put_session(key, kept)));
    CHECK_FALSE(resumption.holds(kept.from, 7));
    CHECK_FALSE(resumption.outdated());
    world.clock.advance(kResumptionReadInterval);
    CHECK(resumption.outdated());
    REQUIRE(world.loop.run(resumption.load()));
    CHECK_FALSE(resumption.outdated());
    CHECK(resumption.holds(kept.from, 7));
    CHECK_FALSE(resumption.holds(kept.from, 8));
    const auto found = world.loop.run(resumption.take(kept.from, 7)).value();
    REQUIRE(found);
    CHECK(found->key == key);
    CHECK_FALSE(resumption.holds(kept.from, 7));
}

}  // namespace skywire::resolver
