// The UDP side: the recorded trace, visors that live and die, hostile datagrams.

#include "services/address_resolver/sudph.hpp"

#include "base/test.hpp"
#include "net/deadline.hpp"
#include "sim/test.hpp"
#include "store/memory.hpp"

#include <deque>

using namespace std::chrono_literals;

namespace skywire::resolver {
namespace {

crypto::KeyPair keys_of(std::string_view name) {
    return crypto::deterministic_key_pair(name);
}

/// Hands out what the test has put in, then seeded numbers.
class ScriptedRandom final : public Random {
 public:
    void fill(std::span<std::byte> into) override {
        if (script.empty() || script.front().size() != into.size()) return seeded_.fill(into);
        std::copy(script.front().begin(), script.front().end(), into.begin());
        script.pop_front();
    }

    std::deque<Bytes> script;

 private:
    SeededRandom seeded_{7};
};

net::Context with_random(const net::Context& context, Random& random) {
    return {
        context.loop,
        context.clock,
        random,
        context.network,
        context.workers,
        context.metrics,
        context.faults,
        context.logger
    };
}

/// A resolver on a node of a simulated world, at ports 30178 and 9093.
class Rig {
 public:
    explicit Rig(std::uint64_t seed = 1, SudphOptions options = {})
        : world(seed),
          node(world.node("ar.example")),
          context(with_random(node.context(), random)),
          store(store::make_memory_store(context)),
          bindings(*store, {}),
          sudph(context, bindings, at(node, std::move(options))) {
        REQUIRE(sudph.bind());
        sudph.start();
    }
    ~Rig() {
        const SteadyTime deadline = world.clock().now() + 1min;
        CHECK(world.run(sudph.stop(deadline)).empty());
        CHECK(sudph.sessions() == 0);
        CHECK(world.run(store->close(deadline)));
    }

    static SudphOptions at(const sim::Node& node, SudphOptions options) {
        options.addresses = {{"udp_addr", node.at(30178)}, {"addr", node.at(9093)}};
        return options;
    }

    bool listed(const crypto::PublicKey& key) {
        const auto keys = world.run(sudph.list()).value();
        return std::find(keys.begin(), keys.end(), key) != keys.end();
    }
    std::optional<Binding> lookup(const crypto::PublicKey& key) {
        return world.run(sudph.lookup(key)).value();
    }
    std::uint64_t refused(std::string reason) {
        return node.metrics()
            .counter("address_resolver_udp_refused_total", "", {{"reason", std::move(reason)}})
            .value();
    }
    std::uint64_t notices(std::string outcome) {
        return node.metrics()
            .counter("address_resolver_notices_total", "", {{"outcome", std::move(outcome)}})
            .value();
    }
    double clients() { return node.metrics().gauge("address_resolver_clients_count", "").value(); }

    sim::World world;
    sim::Node& node;
    ScriptedRandom random;
    net::Context context;
    std::unique_ptr<store::Store> store;
    Bindings bindings;
    Sudph sudph;
};

/// A scripted visor.
class Visor {
 public:
    Visor(Rig& rig, std::string_view name, std::uint16_t port = 4000)
        : rig_(rig),
          node(rig.world.node(name)),
          keys(keys_of(name)),
          socket_(std::make_unique<net::KcpSocket>(
              node.context(),
              node.context().network.bind_udp(rig.world.loop(), node.at(port)).value(),
              net::KcpSocketOptions()
          )) {
        socket_->start();
    }
    ~Visor() {
        const SteadyTime deadline = rig_.world.clock().now() + 1min;
        CHECK(rig_.world.run(socket_->stop(deadline)).empty());
    }

    void dial(std::uint16_t port = 30178) { stream = socket_->dial(rig_.node.at(port)).value(); }
    Result<> shake_hands(std::uint16_t port = 30178, transport::RawEndpoint to = {}) {
        dial(port);
        return rig_.world.run(transport::dial_raw(*stream, {keys, 0, to}));
    }
    void write(std::string text) { REQUIRE(rig_.world.run(write_text(std::move(text)))); }
    /// What the resolver says next; an error after `limit`.
    Result<std::string> read(Duration limit = 10s) {
        Clock& clock = rig_.world.clock();
        return rig_.world.run(net::with_deadline(clock, clock.now() + limit, read_text()));
    }
    void bind(std::uint16_t port = 30178) {
        REQUIRE(shake_hands(port));
        write(R"({"port":"45890","addresses":["127.0.0.1"]})");
        rig_.world.run_for(1s);
    }
    /// What a forger can send from this visor's address: first datagrams of other conversations.
    void forge(int count) {
        const auto write_one = [this]() -> Task<> {
            auto other = socket_->dial(rig_.node.at(30178)).value();
            (void)co_await other->write(as_bytes("get_nonce"));
        };
        for (int i = 0; i < count; ++i)
            rig_.world.run(write_one());
    }
    /// Heartbeats every ten seconds.
    void live(Duration duration) {
        for (; duration > Duration(0); duration -= 10s) {
            write("heartbeat");
            CHECK(read().value() == "heartbeat");
            rig_.world.run_for(10s);
        }
    }

    const crypto::PublicKey& key() const { return keys.public_key; }

 private:
    Task<Result<>> write_text(std::string text) {
        co_return co_await stream->write(as_bytes(text));
    }
    Task<Result<std::string>> read_text() {
        Bytes buffer(4096);
        const auto size = co_await stream->read_some(buffer);
        if (!size) co_return size.error();
        co_return std::string(as_text(ByteSpan(buffer).first(*size)));
    }

    Rig& rig_;

 public:
    sim::Node& node;
    crypto::KeyPair keys;
    std::unique_ptr<net::Stream> stream;

 private:
    std::unique_ptr<net::KcpSocket> socket_;
};

/// A bare UDP socket.
class Socket {
 public:
    Socket(Rig& rig, std::string_view name, std::uint16_t port)
        : rig_(rig),
          socket_(rig.world.node(name)
                      .context()
                      .network.bind_udp(rig.world.loop(), rig.world.node(name).at(port))
                      .value()) {}

    void send(ByteSpan bytes) {
        REQUIRE(rig_.world.run(socket_->send(bytes, rig_.node.at(30178))));
    }
    Result<Bytes> receive(Duration limit = 300ms) {
        Clock& clock = rig_.world.clock();
        Bytes buffer(2000);
        const auto received =
            rig_.world.run(net::with_deadline(clock, clock.now() + limit, socket_->receive(buffer))
            );
        if (!received) return received.error();
        buffer.resize(received->size);
        return buffer;
    }
    std::string address() const { return socket_->local().to_string(); }

 private:
    Rig& rig_;
    std::unique_ptr<net::Datagram> socket_;
};

/// A datagram without what each run has its own of: our clock, and the window as it was before or
/// after a message was read.
std::string comparable(Bytes datagram) {
    std::string text;
    ByteSpan left(datagram);
    while (const auto head = net::read_kcp_head(left)) {
        const bool push = head->command == net::KcpCommand::push;
        text += fmt::format(
            "{} {} {} {} {} {};",
            static_cast<int>(head->command),
            head->fragment,
            push ? 0 : head->timestamp,
            head->sequence,
            head->unacknowledged,
            as_text(left.subspan(net::KcpHead::kSize, head->length))
        );
        left = left.subspan(net::KcpHead::kSize + head->length);
    }
    return text;
}

struct Recorded {
    bool to_server;
    Bytes bytes;
};

std::vector<Recorded> recording(std::string_view visor) {
    std::vector<Recorded> all;
    const json::value file = test::vectors("services/ar_sudph_2025.json");
    for (const json::value& each : file.at("datagrams").at(visor).as_array())
        all.push_back(
            {test::text(each, "dir") == "client->server", test::hex(test::text(each, "hex"))}
        );
    return all;
}

std::string data_of(const Bytes& datagram) {
    std::string data;
    ByteSpan left(datagram);
    while (const auto head = net::read_kcp_head(left)) {
        data += as_text(left.subspan(net::KcpHead::kSize, head->length));
        left = left.subspan(net::KcpHead::kSize + head->length);
    }
    return data;
}

Bytes nonce_in(const std::vector<Recorded>& datagrams) {
    for (const Recorded& each : datagrams) {
        const std::string data = data_of(each.bytes);
        if (!data.starts_with(R"({"Nonce")")) continue;
        Bytes nonce;
        const json::value value = parse_json(data).value();
        for (const json::value& number : value.at("Nonce").as_array())
            nonce.push_back(static_cast<std::byte>(number.to_number<int>()));
        return nonce;
    }
    throw std::runtime_error("no nonce");
}

/// Plays a recorded visor until it has bound: each answer is the recorded one.
void replay_bind(const std::vector<Recorded>& datagrams, Socket& socket) {
    for (const Recorded& each : datagrams) {
        if (data_of(each.bytes) == "heartbeat") return;
        INFO(data_of(each.bytes));
        if (each.to_server) {
            socket.send(each.bytes);
        } else {
            const auto answer = socket.receive();
            REQUIRE(answer);
            CHECK(comparable(*answer) == comparable(each.bytes));
        }
    }
}

crypto::PublicKey key_in_vectors(std::string_view name) {
    const json::value file = test::vectors("services/ar_sudph_2025.json");
    return crypto::PublicKey::from_text(test::text(file.at("keys").at(name), "public")).value();
}

Bytes first_datagram(std::uint32_t conversation, std::string_view text) {
    net::KcpSession session(conversation, SteadyTime());
    session.write(as_bytes(text), SteadyTime());
    return session.take_output().front();
}

}  // namespace

TEST_CASE("sudph: the recorded trace of two visors") {
    Rig rig;
    sim::LinkOptions links;
    links.one_way_delay_mean = links.one_way_delay_min;
    rig.world.set_links(links);
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

// --- hostile

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
