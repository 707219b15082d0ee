#include "services/stun_server/stun_server.hpp"

#include "base/test.hpp"
#include "net/deadline.hpp"
#include "net/test_loop.hpp"
#include "services/stun_server/service.hpp"
#include "services/stun_server/stun_client.hpp"

#include <optional>

namespace skywire::stun {
namespace {

constexpr std::array<std::uint8_t, 4> kPrimary{127, 0, 0, 1};
constexpr std::array<std::uint8_t, 4> kSecondary{127, 0, 0, 2};

Config loopback() {
    Config config;
    config.ips = {kPrimary, kSecondary};
    return config;
}

net::Address to_address(const Endpoint& endpoint) {
    const std::string text = to_string(endpoint);
    return net::Address::parse(text).value();
}

/// A server on free ports and a client socket, on one test loop.
struct Fixture {
    explicit Fixture(Config config = loopback()) : server(loop.context, config) {
        REQUIRE(server.bind());
        server.serve([this](Error error) { failure = std::move(error); });
        client = loop.network.bind_udp(loop.ioc.get_executor(), net::Address::tcp("127.0.0.1", 0))
                     .value();
    }
    ~Fixture() {
        client->close();
        const auto late = loop.run(server.stop(loop.system_clock.now() + std::chrono::seconds(10)));
        CHECK(late.empty());
    }

    void send(ByteSpan datagram, Socket to) {
        REQUIRE(loop.run(client->send(datagram, to_address(server.addresses().of(to)))));
    }

    /// The next answer, and where it came from.
    std::pair<Bytes, net::Address> receive() {
        Bytes buffer(2000);
        const auto received = loop.run(client->receive(buffer));
        REQUIRE(received);
        buffer.resize(received->size);
        return {buffer, received->from};
    }

    std::uint64_t counted(std::string_view name, Labels labels = {}) {
        return loop.metrics.counter(name, "", std::move(labels)).value();
    }

    net::TestLoop loop;
    Server server;
    std::unique_ptr<net::Datagram> client;
    std::optional<Error> failure;
};

BindingRequest request_of(bool change_ip, bool change_port) {
    BindingRequest request;
    std::array<std::byte, 12> id{};
    id.fill(std::byte{0x5a});
    request.transaction_id = new_transaction_id(id);
    request.change_ip = change_ip;
    request.change_port = change_port;
    return request;
}

}  // namespace

TEST_CASE("stun: every socket answers from the socket that the request asks for") {
    Fixture fixture;
    for (const bool second_ip : {false, true}) {
        for (const bool second_port : {false, true}) {
            for (const bool change_ip : {false, true}) {
                for (const bool change_port : {false, true}) {
                    const Socket asked{second_ip, second_port};
                    const Socket answering{second_ip != change_ip, second_port != change_port};
                    const BindingRequest request = request_of(change_ip, change_port);
                    fixture.send(build_request(request), asked);
                    const auto [bytes, from] = fixture.receive();
                    CHECK(from == to_address(fixture.server.addresses().of(answering)));
                    const auto answer = parse_response(bytes);
                    REQUIRE(answer);
                    CHECK(answer->transaction_id == request.transaction_id);
                    CHECK(to_address(answer->mapped) == fixture.client->local());
                    CHECK(to_address(answer->source.value()) == from);
                    const Socket other{!second_ip, !second_port};
                    CHECK(answer->other.value() == fixture.server.addresses().of(other));
                }
            }
        }
    }
    CHECK(fixture.counted("stun_requests_total") == 16);
    CHECK_FALSE(fixture.failure);
}

TEST_CASE("stun: what is no request is dropped and counted by reason, and the next one answered") {
    Fixture fixture;
    fixture.send(as_bytes("short"), {});
    Bytes wrong_type = build_request(request_of(false, false));
    wrong_type[1] = std::byte{2};
    fixture.send(wrong_type, {});
    Bytes wrong_length = build_request(request_of(false, false));
    wrong_length[3] = std::byte{0xfc};
    fixture.send(wrong_length, {});
    fixture.send(build_request(request_of(false, false)), {});
    CHECK(parse_response(fixture.receive().first));
    CHECK(fixture.counted("stun_ignored_total", {{"reason", "too_short"}}) == 1);
    CHECK(fixture.counted("stun_ignored_total", {{"reason", "wrong_type"}}) == 1);
    CHECK(fixture.counted("stun_ignored_total", {{"reason", "wrong_length"}}) == 1);
    CHECK(fixture.counted("stun_requests_total") == 1);
}

TEST_CASE("stun: an address that this machine lacks is named, and nothing stays bound") {
    net::TestLoop loop;
    Config config = loopback();
    config.ips[1] = {192, 0, 2, 99};
    Server server(loop.context, config);
    const auto bound = server.bind();
    REQUIRE_FALSE(bound);
    CHECK(bound.error().message() == "secondary_ip: this machine has no address 192.0.2.99");
}

TEST_CASE("stun: a port that is taken is named, and the server's other sockets are released") {
    net::TestLoop loop;
    Config config = loopback();
    auto held =
        loop.network.bind_udp(loop.ioc.get_executor(), net::Address::tcp("127.0.0.2", 0)).value();
    config.ports[0] = held->local().port;
    Server server(loop.context, config);
    const auto bound = server.bind();
    REQUIRE_FALSE(bound);
    CHECK(bound.error().message().find(held->local().to_string()) != std::string::npos);
    held->close();
    Server again(loop.context, config);
    CHECK(again.bind());
    loop.run(again.stop(loop.system_clock.now() + std::chrono::seconds(10)));
}

TEST_CASE("stun: an answer that cannot be sent is counted and the server goes on") {
    // Each socket refuses its first answer.
    class RefusingDatagram final : public net::Datagram {
     public:
        explicit RefusingDatagram(std::unique_ptr<net::Datagram> inner)
            : inner_(std::move(inner)) {}
        Task<Result<Received>> receive(std::span<std::byte> into) override {
            return inner_->receive(into);
        }
        Task<Result<>> send(ByteSpan payload, const net::Address& to) override {
            if (failures_-- > 0) co_return fail(skywire::errc::injected, "send");
            co_return co_await inner_->send(payload, to);
        }
        const net::Address& local() const noexcept override { return inner_->local(); }
        void close() noexcept override { inner_->close(); }

     private:
        std::unique_ptr<net::Datagram> inner_;
        int failures_ = 1;
    };
    class RefusingNetwork final : public net::Network {
     public:
        Result<std::unique_ptr<net::Listener>> listen(Executor loop, const net::Address& address)
            override {
            return inner_.listen(std::move(loop), address);
        }
        Task<Result<std::unique_ptr<net::Stream>>> dial(Executor loop, net::Address address)
            override {
            return inner_.dial(std::move(loop), std::move(address));
        }
        Result<std::unique_ptr<net::Datagram>> bind_udp(Executor loop, const net::Address& address)
            override {
            auto socket = inner_.bind_udp(std::move(loop), address);
            if (!socket) return socket;
            return std::make_unique<RefusingDatagram>(std::move(*socket));
        }

     private:
        net::SystemNetwork inner_;
    };

    net::TestLoop loop;
    RefusingNetwork network;
    const net::Context context(
        loop.ioc.get_executor(),
        loop.system_clock,
        loop.random,
        network,
        loop.workers,
        loop.metrics,
        loop.faults,
        log::Logger()
    );
    Server server(context, loopback());
    REQUIRE(server.bind());
    server.serve([](Error) { FAIL("the server has given up"); });
    auto client =
        loop.network.bind_udp(loop.ioc.get_executor(), net::Address::tcp("127.0.0.1", 0)).value();
    const Bytes request = build_request(request_of(false, false));
    const net::Address first = to_address(server.addresses().of({}));
    REQUIRE(loop.run(client->send(request, first)));
    REQUIRE(loop.run(client->send(request, first)));
    Bytes buffer(2000);
    CHECK(loop.run(client->receive(buffer)));
    CHECK(loop.metrics.counter("stun_send_errors_total", "").value() == 1);
    loop.run(server.stop(loop.system_clock.now() + std::chrono::seconds(10)));
}

TEST_CASE("stun client: learns its address") {
    Fixture f;
    const auto answer = f.loop.run(ask_binding(
        f.loop.context,
        to_address(f.server.addresses().of({})),
        f.loop.system_clock.now() + std::chrono::seconds(10)
    ));
    REQUIRE(answer);
    CHECK(answer->mapped.ip == kPrimary);
    CHECK(answer->other == f.server.addresses().of({true, true}));
}

TEST_CASE("stun client: asks again, and passes over what answers another question") {
    net::TestLoop loop;
    const auto socket =
        loop.network.bind_udp(loop.ioc.get_executor(), net::Address::tcp("127.0.0.1", 0)).value();
    const ServerAddresses addresses{{kPrimary, kSecondary}, {3478, 3479}};
    std::optional<Result<BindingResponse>> learnt;
    net::Scope scope(loop.ioc.get_executor());
    scope.spawn("client", [&]() -> Task<> {
        learnt = co_await ask_binding(
            loop.context, socket->local(), loop.system_clock.now() + std::chrono::seconds(30)
        );
    });

    Bytes buffer(2000);
    const auto receive = [&] { return loop.run(socket->receive(buffer)).value(); };
    const auto first = receive();
    const auto first_request = parse_request(ByteSpan(buffer).first(first.size)).value();
    const auto again = receive();
    CHECK(again.from == first.from);
    const auto request = parse_request(ByteSpan(buffer).first(again.size)).value();
    CHECK(request.transaction_id == first_request.transaction_id);

    BindingRequest foreign = request;
    foreign.transaction_id[15] ^= std::byte{1};
    const Endpoint client{kPrimary, again.from.port};
    const Bytes nonsense{std::byte{1}, std::byte{2}};
    REQUIRE(loop.run(socket->send(nonsense, again.from)));
    const Answer wrong = make_answer(foreign, addresses, {}, {kPrimary, 1});
    REQUIRE(loop.run(socket->send(wrong.datagram, again.from)));
    const Answer right = make_answer(request, addresses, {}, client);
    REQUIRE(loop.run(socket->send(right.datagram, again.from)));
    loop.run(scope.wait_empty());
    REQUIRE(learnt);
    REQUIRE(*learnt);
    CHECK((*learnt)->mapped == client);
}

TEST_CASE("stun client: a server that stays silent") {
    net::TestLoop loop;
    const auto socket =
        loop.network.bind_udp(loop.ioc.get_executor(), net::Address::tcp("127.0.0.1", 0)).value();
    const auto answer = loop.run(ask_binding(
        loop.context, socket->local(), loop.system_clock.now() + std::chrono::milliseconds(20)
    ));
    REQUIRE_FALSE(answer);
    CHECK(answer.error() == make_error_code(skywire::errc::timed_out));
}

}  // namespace skywire::stun
