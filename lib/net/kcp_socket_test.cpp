#include "net/kcp_socket.hpp"

#include "net/deadline.hpp"
#include "sim/test.hpp"

using namespace skywire;
using namespace skywire::net;
using namespace std::chrono_literals;

namespace {

/// A KCP socket on a node of a simulated world.
struct Party {
    Party(sim::World& world, sim::Node& node_in, std::uint16_t port, KcpSocketOptions options = {})
        : node(node_in),
          socket(
              node.context(),
              node.context().network.bind_udp(world.loop(), node.at(port)).value(),
              options
          ) {
        socket.start();
    }

    std::uint64_t counted(std::string_view name, std::string reason) {
        return node.metrics().counter(name, "", {{"reason", std::move(reason)}}).value();
    }

    sim::Node& node;
    KcpSocket socket;
};

struct Parties {
    explicit Parties(
        std::uint64_t seed = 1,
        KcpSocketOptions near_options = {},
        KcpSocketOptions far_options = {}
    )
        : world(seed),
          near(world, world.node("near"), 1000, near_options),
          far(world, world.node("far"), 2000, far_options) {}
    ~Parties() {
        const SteadyTime deadline = world.clock().now() + 1min;
        CHECK(world.run(near.socket.stop(deadline)).empty());
        CHECK(world.run(far.socket.stop(deadline)).empty());
    }

    std::unique_ptr<Stream> dial() { return near.socket.dial(far.node.at(2000)).value(); }

    std::unique_ptr<Stream> accept() { return world.run(far.socket.accept()).value(); }

    Task<Result<>> write(Stream& stream, std::string text) {
        co_return co_await stream.write(as_bytes(text));
    }
    Task<Result<std::string>> read(Stream& stream) {
        Bytes buffer(4096);
        const auto size = co_await stream.read_some(buffer);
        if (!size) co_return size.error();
        co_return std::string(as_text(ByteSpan(buffer).first(*size)));
    }

    sim::World world;
    Party near;
    Party far;
};

Task<> echo(std::unique_ptr<Stream>& stream) {
    Bytes buffer(4096);
    while (true) {
        const auto size = co_await stream->read_some(buffer);
        if (!size) co_return;
        const auto written = co_await stream->write(ByteSpan(buffer).first(*size));
        if (!written) co_return;
    }
}

Task<std::string> send_and_read_back(Stream& stream, std::size_t bytes) {
    std::string got;
    std::string sent;
    Bytes buffer(700);
    for (std::size_t i = 0; sent.size() < bytes; ++i) {
        const std::string piece(i % 3000 + 1, static_cast<char>('a' + i % 26));
        sent += piece;
        const auto written = co_await stream.write(as_bytes(piece));
        if (!written) co_return written.error().message();
        while (got.size() < sent.size()) {
            const auto size = co_await stream.read_some(buffer);
            if (!size) co_return size.error().message();
            got += as_text(ByteSpan(buffer).first(*size));
        }
    }
    co_return got == sent ? "all" : "something else";
}

}  // namespace

TEST_CASE("kcp socket: a message arrives as it was written") {
    Parties parties;
    auto near = parties.dial();
    REQUIRE(parties.world.run(parties.write(*near, "get_nonce")));
    auto far = parties.accept();
    CHECK(far->remote() == parties.near.node.at(1000));
    REQUIRE(parties.world.run(far->wait_readable()));
    CHECK(parties.world.run(parties.read(*far)).value() == "get_nonce");
    REQUIRE(parties.world.run(parties.write(*far, "one")));
    REQUIRE(parties.world.run(parties.write(*far, "two")));
    CHECK(parties.world.run(parties.read(*near)).value() == "one");
    CHECK(parties.world.run(parties.read(*near)).value() == "two");
}

TEST_CASE("kcp socket: bytes survive loss, duplicates and overtaking") {
    sim::for_each_seed(5, [](std::uint64_t seed) {
        Parties parties(seed);
        parties.world.set_links(sim::LinkOptions::rough());
        auto near = parties.dial();
        std::unique_ptr<Stream> far;
        net::Scope scope(parties.world.loop());
        scope.spawn("far", [&]() -> Task<> {
            far = (co_await parties.far.socket.accept()).value();
            co_await echo(far);
        });
        CHECK(parties.world.run(send_and_read_back(*near, 30'000)) == "all");
        far->close();
        parties.world.run(scope.wait_empty());
    });
}

TEST_CASE("kcp socket: many peers share one socket") {
    Parties parties;
    std::vector<std::unique_ptr<Stream>> near;
    std::vector<std::unique_ptr<Stream>> far;
    for (int i = 0; i < 3; ++i) {
        near.push_back(parties.dial());
        REQUIRE(parties.world.run(parties.write(*near.back(), "hello " + std::to_string(i))));
        far.push_back(parties.accept());
    }
    Party third(parties.world, parties.world.node("third"), 1000);
    auto other = third.socket.dial(parties.far.node.at(2000)).value();
    REQUIRE(parties.world.run(parties.write(*other, "hello 3")));
    far.push_back(parties.accept());
    for (int i = 3; i >= 0; --i) {
        Stream& stream = *far[static_cast<std::size_t>(i)];
        CHECK(parties.world.run(parties.read(stream)).value() == "hello " + std::to_string(i));
    }
    CHECK(parties.far.socket.sessions() == 4);
    CHECK(far[3]->remote() == third.node.at(1000));
    CHECK(parties.world.run(third.socket.stop(parties.world.clock().now() + 1min)).empty());
}

TEST_CASE("kcp socket: both sides dial each other over the same ports") {
    Parties parties;
    auto there = parties.dial();
    auto back = parties.far.socket.dial(parties.near.node.at(1000)).value();
    REQUIRE(parties.world.run(parties.write(*there, "there")));
    REQUIRE(parties.world.run(parties.write(*back, "back")));
    auto far = parties.accept();
    auto near = parties.world.run(parties.near.socket.accept()).value();
    CHECK(parties.world.run(parties.read(*far)).value() == "there");
    CHECK(parties.world.run(parties.read(*near)).value() == "back");
}

TEST_CASE("kcp socket: what was written before a close still arrives") {
    Parties parties;
    auto near = parties.dial();
    REQUIRE(parties.world.run(parties.write(*near, "hello")));
    auto far = parties.accept();
    CHECK(parties.world.run(parties.read(*far)).value() == "hello");
    parties.world.cut(parties.near.node, parties.far.node);
    REQUIRE(parties.world.run(parties.write(*far, "refused")));
    far->close();
    CHECK(parties.world.run(parties.read(*far)).error() == make_error_code(errc::closed));
    parties.world.run_for(1s);
    parties.world.heal();
    CHECK(parties.world.run(parties.read(*near)).value() == "refused");
    parties.world.run_for(10s);
    CHECK(parties.far.socket.sessions() == 0);
    CHECK(parties.far.counted("kcp_sessions_ended_total", "closed") == 1);
}

TEST_CASE("kcp socket: a silent peer is noticed, as is one that never answers") {
    KcpSocketOptions options;
    options.idle_timeout = 5min;
    Parties parties(1, options, options);
    auto near = parties.dial();
    REQUIRE(parties.world.run(parties.write(*near, "hello")));
    auto far = parties.accept();
    CHECK(parties.world.run(parties.read(*far)));
    const SteadyTime before = parties.world.clock().now();
    CHECK(parties.world.run(parties.read(*far)).error() == make_error_code(errc::timed_out));
    CHECK(parties.world.clock().now() - before <= 5min);
    CHECK(parties.far.socket.sessions() == 0);
    CHECK(parties.far.counted("kcp_sessions_ended_total", "idle") == 1);

    auto nobody = parties.near.socket.dial(Address::tcp("10.9.9.9", 9)).value();
    REQUIRE(parties.world.run(parties.write(*nobody, "hello")));
    CHECK(parties.world.run(parties.read(*nobody)).error() == make_error_code(errc::timed_out));
    CHECK(parties.near.counted("kcp_sessions_ended_total", "dead") == 1);
}

TEST_CASE("kcp socket: a program that was started again comes with a new conversation") {
    Parties parties;
    std::vector<std::unique_ptr<Stream>> far;
    std::vector<std::unique_ptr<Stream>> near;
    for (int i = 0; i < 6; ++i) {
        near.push_back(parties.dial());
        REQUIRE(parties.world.run(parties.write(*near.back(), std::to_string(i))));
        far.push_back(parties.accept());
    }
    // Four of one address: the first, and the newest.
    CHECK(parties.far.socket.sessions() == 4);
    CHECK(parties.far.counted("kcp_sessions_ended_total", "replaced") == 2);
    CHECK(parties.world.run(parties.read(*far[0])).value() == "0");
    REQUIRE(parties.world.run(parties.read(*far[1])));
    CHECK(parties.world.run(parties.read(*far[1])).error() == make_error_code(errc::closed));
    CHECK(parties.world.run(parties.read(*far[5])).value() == "5");
}

TEST_CASE("kcp socket: a flood creates no more than its bounds, and is counted") {
    KcpSocketOptions options;
    options.sessions_max = 50;
    options.backlog_max = 20;
    Parties parties(1, {}, options);
    auto kept = parties.dial();
    REQUIRE(parties.world.run(parties.write(*kept, "hello")));
    auto far = parties.accept();
    auto flood = [&](std::uint16_t ports, std::string payload) {
        for (std::uint16_t i = 0; i < ports; ++i) {
            auto& network = parties.near.node.context().network;
            auto socket = network
                              .bind_udp(
                                  parties.world.loop(),
                                  parties.near.node.at(static_cast<std::uint16_t>(3000 + i))
                              )
                              .value();
            REQUIRE(parties.world.run(socket->send(as_bytes(payload), parties.far.node.at(2000))));
        }
        parties.world.run_for(100ms);
    };
    const std::string first(
        "\x01\0\0\0\x51\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\x09\0\0\0get_nonce", 33
    );
    std::string later = first;
    later[12] = 5;
    flood(200, "garbage");
    flood(200, later);
    CHECK(parties.far.socket.sessions() == 1);
    CHECK(parties.far.counted("kcp_refused_total", "no_kcp") == 200);
    CHECK(parties.far.counted("kcp_refused_total", "stray") == 200);
    flood(200, first);
    CHECK(parties.far.socket.sessions() == 21);
    CHECK(parties.far.counted("kcp_refused_total", "backlog") == 180);
    std::vector<std::unique_ptr<Stream>> accepted;
    accepted.reserve(20);
    for (int i = 0; i < 20; ++i)
        accepted.push_back(parties.accept());
    flood(20, later);
    flood(20, first);
    for (int i = 0; i < 9; ++i)
        CHECK(parties.far.socket.sessions() <= 50);
    CHECK(parties.world.run(parties.read(*far)).value() == "hello");
}

TEST_CASE("kcp socket: bare datagrams leave from the same port") {
    Parties parties;
    auto& network = parties.far.node.context().network;
    const auto socket = network.bind_udp(parties.world.loop(), parties.far.node.at(5)).value();
    parties.near.socket.send_bare(as_bytes("holepunch"), parties.far.node.at(5));
    Bytes buffer(100);
    const auto received = parties.world.run(socket->receive(buffer));
    REQUIRE(received);
    CHECK(as_text(ByteSpan(buffer).first(received->size)) == "holepunch");
    CHECK(received->from == parties.near.node.at(1000));
}

TEST_CASE("kcp socket: closed while others wait") {
    Parties parties;
    auto near = parties.dial();
    net::Scope scope(parties.world.loop());
    std::vector<std::string> ended;
    scope.spawn("reader", [&]() -> Task<> {
        const auto read = co_await parties.read(*near);
        ended.push_back(read.error() == make_error_code(errc::closed) ? "read" : "?");
    });
    scope.spawn("acceptor", [&]() -> Task<> {
        const auto accepted = co_await parties.near.socket.accept();
        ended.push_back(accepted.error() == make_error_code(errc::closed) ? "accept" : "?");
    });
    parties.world.run_for(1s);
    parties.near.socket.close();
    parties.world.run(scope.wait_empty());
    std::sort(ended.begin(), ended.end());
    CHECK(ended == std::vector<std::string>{"accept", "read"});
    CHECK(
        parties.near.socket.dial(parties.far.node.at(1)).error() == make_error_code(errc::closed)
    );
}

TEST_CASE("kcp socket: a writer waits for its window and fails with its session") {
    KcpSocketOptions options;
    options.idle_timeout = 1min;
    Parties parties(1, options);
    auto near = parties.dial();
    REQUIRE(parties.world.run(parties.write(*near, "hello")));
    auto far = parties.accept();
    // The far side does not read: 32 messages there, 32 here.
    const auto stuck = parties.world.run(parties.write(*near, std::string(200'000, 'x')));
    CHECK(stuck.error() == make_error_code(errc::timed_out));
}

TEST_CASE("kcp socket: a conversation goes on where the owner knows it, others are stray") {
    std::vector<std::uint32_t> asked;
    KcpSocketOptions options;
    options.sessions_max = 2;
    options.may_resume = [&](const Address& from, std::uint32_t conversation) {
        asked.push_back(conversation);
        return from.port == 5 && conversation < 9;
    };
    Parties parties(1, {}, options);
    const auto send = [&](std::uint16_t port, const Bytes& datagram) {
        auto& network = parties.near.node.context().network;
        auto socket = network.bind_udp(parties.world.loop(), parties.near.node.at(port)).value();
        REQUIRE(parties.world.run(socket->send(datagram, parties.far.node.at(2000))));
        parties.world.run_for(1s);
    };
    const auto push = [](std::uint32_t conversation, std::uint32_t sequence) {
        KcpSession session({conversation, 2, sequence}, SteadyTime(), {}, SteadyTime());
        session.write(as_bytes("heartbeat"), SteadyTime());
        return session.take_output().front();
    };
    send(6, push(7, 5));
    send(5, push(9, 5));
    CHECK(asked == std::vector<std::uint32_t>{7, 9});
    CHECK(parties.far.counted("kcp_refused_total", "stray") == 2);
    CHECK(parties.far.socket.sessions() == 0);

    send(5, push(7, 5));
    auto resumed = parties.world.run(parties.far.socket.accept_session()).value();
    CHECK(resumed.resumed);
    CHECK(resumed.conversation == 7);
    CHECK(parties.world.run(parties.read(*resumed.stream)).value() == "heartbeat");
    send(5, push(3, 0));
    const auto fresh = parties.world.run(parties.far.socket.accept_session()).value();
    CHECK_FALSE(fresh.resumed);
    CHECK(fresh.conversation == 3);
    CHECK(asked.size() == 3);
    // The bounds hold for these, too.
    send(5, push(8, 5));
    CHECK(parties.far.counted("kcp_refused_total", "sessions") == 1);
    // What is no KCP behind its head opens nothing.
    fresh.stream->close();
    parties.world.run_for(10s);
    Bytes broken = push(8, 5);
    broken.resize(broken.size() + 1);
    send(5, broken);
    CHECK(parties.far.socket.sessions() == 1);
    auto& count = parties.far.node.metrics().counter("kcp_sessions_resumed_total", "");
    CHECK(count.value() == 1);
}
