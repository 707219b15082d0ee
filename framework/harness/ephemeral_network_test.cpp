#include "framework/harness/ephemeral_network.hpp"

#include "base/test.hpp"
#include "base/test_faults.hpp"
#include "net/test_loop.hpp"

namespace skywire::harness {

namespace {

net::Address at(std::string_view text) {
    return net::Address::parse(text).value();
}

struct Fixture {
    TestFaults faults;
    EphemeralNetwork network{faults};
    net::TestLoop loop;
    Executor executor = loop.ioc.get_executor();
};

Task<Result<std::string>> say_hello(
    EphemeralNetwork* network, Executor loop, net::Listener* listener, net::Address to
) {
    auto client = co_await network->dial(loop, to);
    if (!client) co_return client.error();
    auto server = co_await listener->accept();
    if (!server) co_return server.error();
    const auto written = co_await (*client)->write(as_bytes("hello"));
    if (!written) co_return written.error();
    std::array<std::byte, 16> buffer{};
    const auto size = co_await (*server)->read_some(buffer);
    if (!size) co_return size.error();
    co_return std::string(as_text(ByteSpan(buffer).first(*size)));
}

}  // namespace

TEST_CASE("ephemeral network: who listens at an address is reached at it, on another port") {
    Fixture f;
    auto listener = f.network.listen(f.executor, at("127.0.0.1:9090"));
    REQUIRE(listener);
    CHECK((*listener)->local() == at("127.0.0.1:9090"));
    const auto real = f.network.real_address("127.0.0.1:9090");
    REQUIRE(real);
    CHECK(real->port != 0);
    CHECK(f.network.listening() == std::set<std::string>{"127.0.0.1:9090"});
    const auto heard =
        f.loop.run(say_hello(&f.network, f.executor, listener->get(), at("127.0.0.1:9090")));
    REQUIRE(heard);
    CHECK(*heard == "hello");
}

TEST_CASE("ephemeral network: two deployments have the same addresses side by side") {
    Fixture f;
    EphemeralNetwork other(f.faults);
    auto mine = f.network.listen(f.executor, at("127.0.0.1:9090"));
    auto theirs = other.listen(f.executor, at("127.0.0.1:9090"));
    REQUIRE(mine);
    REQUIRE(theirs);
    CHECK(f.network.real_address("127.0.0.1:9090") != other.real_address("127.0.0.1:9090"));
}

TEST_CASE("ephemeral network: an address is taken until its listener closes") {
    Fixture f;
    auto first = f.network.listen(f.executor, at("127.0.0.1:9090"));
    REQUIRE(first);
    const auto second = f.network.listen(f.executor, at("127.0.0.1:9090"));
    REQUIRE_FALSE(second);
    CHECK(second.error().message().find("127.0.0.1:9090") != std::string::npos);
    (*first)->close();
    CHECK_FALSE(f.network.real_address("127.0.0.1:9090"));
    CHECK(f.network.listen(f.executor, at("127.0.0.1:9090")));
}

TEST_CASE("ephemeral network: a listener of all interfaces is reached by any of its addresses") {
    Fixture f;
    auto listener = f.network.listen(f.executor, at(":9090"));
    REQUIRE(listener);
    CHECK(f.network.real_address("127.0.0.1:9090"));
    CHECK(f.network.real_address("localhost:9090"));
    CHECK_FALSE(f.network.real_address("127.0.0.1:9091"));
}

TEST_CASE(
    "ephemeral network: what nobody listens at is refused, even where the machine would answer"
) {
    Fixture f;
    net::SystemNetwork system;
    auto outside = system.listen(f.executor, at("127.0.0.1:0"));
    REQUIRE(outside);
    const net::Address address = (*outside)->local();
    const auto refused = f.loop.run(f.network.dial(f.executor, address));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message().find("refused") != std::string::npos);
    f.network.pass_through(address);
    CHECK(f.loop.run(f.network.dial(f.executor, address)));
}

TEST_CASE("ephemeral network: faults of bind and dial") {
    Fixture f;
    f.faults.set("bind", "127.0.0.1:9090", 1);
    CHECK_FALSE(f.network.listen(f.executor, at("127.0.0.1:9090")));
    auto listener = f.network.listen(f.executor, at("127.0.0.1:9090"));
    REQUIRE(listener);
    f.faults.set("dial", "127.0.0.1:9090", 1);
    const auto cut = f.loop.run(f.network.dial(f.executor, at("127.0.0.1:9090")));
    REQUIRE_FALSE(cut);
    CHECK(cut.error() == errc::injected);
}

TEST_CASE("ephemeral network: datagrams carry the addresses that were asked for") {
    Fixture f;
    auto a = f.network.bind_udp(f.executor, at("127.0.0.1:3478"));
    auto b = f.network.bind_udp(f.executor, at("127.0.0.2:3478"));
    REQUIRE(a);
    REQUIRE(b);
    CHECK((*a)->local() == at("127.0.0.1:3478"));
    CHECK_FALSE(f.network.bind_udp(f.executor, at("127.0.0.1:3478")));
    // A TCP listener of the same number is another thing.
    CHECK(f.network.listen(f.executor, at("127.0.0.1:3478")));
    REQUIRE(f.loop.run((*a)->send(as_bytes("ping"), at("127.0.0.2:3478"))));
    std::array<std::byte, 16> buffer{};
    const auto received = f.loop.run((*b)->receive(buffer));
    REQUIRE(received);
    CHECK(received->size == 4);
    CHECK(received->from == at("127.0.0.1:3478"));
    CHECK(f.network.real_udp_address("127.0.0.2:3478")->host == "127.0.0.2");
}

}  // namespace skywire::harness
