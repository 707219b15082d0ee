#pragma once

#include "base/test.hpp"
#include "net/deadline.hpp"
#include "services/address_resolver/sudph.hpp"
#include "sim/test.hpp"
#include "store/memory.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <string>

/// For tests of the UDP side: a resolver and visors in a simulated world.
namespace skywire::resolver {

using namespace std::chrono_literals;

inline crypto::KeyPair keys_of(std::string_view name) {
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

inline net::Context with_random(const net::Context& context, Random& random) {
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
              patient()
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
    void write(std::string text) {
        const auto written = rig_.world.run(write_text(std::move(text)));
        REQUIRE(written);
    }
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
        for (int i = 0; i < count; ++i)
            rig_.world.run(forge_one());
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
    /// As visors of 2024 are.
    static net::KcpSocketOptions patient() {
        net::KcpSocketOptions options;
        options.idle_timeout = 24h;
        options.kcp.dead_link = 0;
        return options;
    }
    Task<> forge_one() {
        const auto other = socket_->dial(rig_.node.at(30178)).value();
        (void)co_await other->write(as_bytes("get_nonce"));
    }
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

/// The datagram with which a conversation begins.
inline Bytes first_datagram(std::uint32_t conversation, std::string_view text) {
    net::KcpSession session(conversation, SteadyTime());
    session.write(as_bytes(text), SteadyTime());
    return session.take_output().front();
}

}  // namespace skywire::resolver
