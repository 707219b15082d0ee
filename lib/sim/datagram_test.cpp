#include "net/deadline.hpp"
#include "net/scope.hpp"
#include "sim/test.hpp"

#include <boost/asio/error.hpp>

using namespace skywire;
using namespace skywire::sim;
using namespace std::chrono_literals;

namespace {

/// Two sockets; what arrives at the second one is kept, as numbers.
class Sockets {
 public:
    explicit Sockets(const LinkOptions& links = {}) : world(1), scope(world.loop()) {
        world.set_links(links);
        from = a.context().network.bind_udp(world.loop(), net::Address::tcp("", 0)).value();
        to = b.context().network.bind_udp(world.loop(), b.at(3478)).value();
        scope.spawn("receiver", [this]() -> Task<> {
            Bytes buffer(100);
            while (true) {
                const auto received = co_await to->receive(buffer);
                if (!received) co_return;
                last = *received;
                got.push_back(std::stoi(std::string(as_text(ByteSpan(buffer).first(received->size)))
                ));
            }
        });
    }
    ~Sockets() {
        to->close();
        world.settle();
        CHECK(scope.size() == 0);
    }

    void send(int count) {
        for (int i = 0; i < count; ++i) {
            const std::string text = std::to_string(i);
            REQUIRE(world.run(from->send(as_bytes(text), to->local())));
        }
        world.run_for(1min);
    }

    World world;
    Node& a = world.node("a");
    Node& b = world.node("b");
    std::unique_ptr<net::Datagram> from;
    std::unique_ptr<net::Datagram> to;
    std::vector<int> got;
    net::Datagram::Received last;
    net::Scope scope;
};

}  // namespace

TEST_CASE("datagram: arrives with its sender's address") {
    Sockets sockets;
    sockets.send(1);
    CHECK(sockets.got == std::vector<int>{0});
    CHECK(sockets.last.from == net::Address::tcp(sockets.a.ip(), sockets.from->local().port));
}

TEST_CASE("datagram: lost, doubled and overtaken as the link says") {
    LinkOptions links;
    links.packet_loss_probability = 0.3;
    Sockets lossy(links);
    lossy.send(1000);
    CHECK(lossy.got.size() > 600);
    CHECK(lossy.got.size() < 800);

    links = LinkOptions();
    links.packet_replay_probability = 0.3;
    Sockets doubling(links);
    doubling.send(1000);
    CHECK(doubling.got.size() > 1200);
    CHECK(doubling.got.size() < 1400);

    Sockets jitter;
    jitter.send(100);
    CHECK(jitter.got.size() == 100);
    CHECK_FALSE(std::is_sorted(jitter.got.begin(), jitter.got.end()));

    links = LinkOptions();
    links.one_way_delay_mean = links.one_way_delay_min;
    Sockets steady(links);
    steady.send(100);
    CHECK(steady.got.size() == 100);
    CHECK(std::is_sorted(steady.got.begin(), steady.got.end()));
}

TEST_CASE("datagram: what cannot arrive vanishes") {
    Sockets sockets;
    sockets.world.cut(sockets.a, sockets.b, Direction::forward);
    sockets.send(3);
    sockets.world.heal();
    CHECK(sockets.got.empty());
    const std::string text = "1";
    CHECK(sockets.world.run(sockets.from->send(as_bytes(text), sockets.b.at(9))));
    CHECK(sockets.world.run(sockets.from->send(as_bytes(text), net::Address::tcp("10.9.9.9", 9))));
    sockets.b.kill();
    CHECK(sockets.world.run(sockets.from->send(as_bytes(text), sockets.b.at(3478))));
    sockets.world.run_for(1s);
    CHECK(sockets.got.empty());
}

TEST_CASE("datagram: errors of a socket") {
    Sockets sockets;
    World& world = sockets.world;
    const std::string text = "1";
    CHECK(
        world.run(sockets.from->send(as_bytes(text), net::Address::tcp("b", 1))).error() ==
        make_error_code(errc::malformed)
    );
    const std::string large(65508, 'x');
    CHECK(
        world.run(sockets.from->send(as_bytes(large), sockets.b.at(1))).error() ==
        ErrorCode(asio::error::message_size)
    );
    CHECK(
        sockets.b.context().network.bind_udp(world.loop(), net::Address::tcp("", 3478)).error() ==
        ErrorCode(asio::error::address_in_use)
    );
    Bytes buffer(10);
    const auto late = world.run(
        net::with_deadline(world.clock(), world.clock().now() + 1s, sockets.from->receive(buffer))
    );
    CHECK(late.error() == make_error_code(errc::timed_out));
    sockets.from->close();
    CHECK(
        world.run(sockets.from->send(as_bytes(text), sockets.b.at(1))).error() ==
        make_error_code(errc::closed)
    );
    CHECK(world.run(sockets.from->receive(buffer)).error() == make_error_code(errc::closed));
}

TEST_CASE("datagram: what does not fit is cut off, a full socket drops") {
    Sockets sockets;
    auto& network = sockets.b.context().network;
    const auto slow = network.bind_udp(sockets.world.loop(), sockets.b.at(53)).value();
    const std::string text = "0123456789";
    for (int i = 0; i < 2000; ++i) {
        REQUIRE(sockets.world.run(sockets.from->send(as_bytes(text), slow->local())));
    }
    sockets.world.run_for(1s);
    Bytes buffer(4);
    std::size_t count = 0;
    while (true) {
        const auto received = sockets.world.run(net::with_deadline(
            sockets.world.clock(), sockets.world.clock().now() + 1s, slow->receive(buffer)
        ));
        if (!received) break;
        CHECK(received->size == 4);
        ++count;
    }
    CHECK(count == 1024);
}
