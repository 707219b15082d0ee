#include "base/test.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"

using namespace skywire;
using namespace skywire::net;

namespace {

struct Fixture {
    std::unique_ptr<Datagram> bind(const std::string& host) {
        return loop.network.bind_udp(loop.ioc.get_executor(), Address::tcp(host, 0)).value();
    }

    TestLoop loop;
    std::array<std::byte, 8> buffer{};
    Scope scope{loop.ioc.get_executor()};
};

}  // namespace

TEST_CASE_METHOD(Fixture, "udp: datagrams keep their borders and name their sender") {
    const auto a = bind("127.0.0.1");
    const auto b = bind("127.0.0.1");
    const auto work = [&]() -> Task<> {
        for (const std::string text : {"one", "", "longer than eight"}) {
            const auto sent = co_await a->send(as_bytes(text), b->local());
            CHECK(sent.has_value());
        }
        for (const std::string text : {"one", "", "longer t"}) {
            const auto received = co_await b->receive(buffer);
            REQUIRE(received);
            CHECK(as_text(ByteSpan(buffer).first(received->size)) == text);
            CHECK(received->from == a->local());
        }
    };
    loop.run(work());
}

TEST_CASE_METHOD(Fixture, "udp: a socket on all interfaces talks to v4 peers as v4") {
    const auto all = bind("");
    const auto peer = bind("127.0.0.1");
    CHECK(all->local().host.empty());
    const auto work = [&]() -> Task<> {
        const auto to = Address::tcp("127.0.0.1", all->local().port);
        const auto sent = co_await peer->send(as_bytes("ping"), to);
        CHECK(sent.has_value());
        const auto received = co_await all->receive(buffer);
        CHECK(received.value().from == peer->local());
        const auto answered = co_await all->send(as_bytes("pong"), received.value().from);
        CHECK(answered.has_value());
        const auto answer = co_await peer->receive(buffer);
        CHECK(answer.value().from == to);
    };
    loop.run(work());
}

TEST_CASE_METHOD(Fixture, "udp: close ends a receive under way") {
    const auto a = bind("127.0.0.1");
    std::optional<Result<Datagram::Received>> result;
    scope.spawn("receiver", [&]() -> Task<> { result = co_await a->receive(buffer); });
    loop.settle();
    CHECK(!result);
    a->close();
    a->close();
    loop.run_until([&] { return result.has_value(); });
    CHECK(result->error() == make_error_code(errc::closed));
    const auto later = [&]() -> Task<> {
        const auto sent = co_await a->send(as_bytes("x"), Address::tcp("127.0.0.1", 9));
        CHECK(sent.error() == make_error_code(errc::closed));
    };
    loop.run(later());
}

TEST_CASE_METHOD(Fixture, "udp: bad addresses and taken ports are named") {
    const auto a = bind("127.0.0.1");
    const auto work = [&]() -> Task<> {
        const auto sent = co_await a->send(as_bytes("x"), Address::tcp("example.org", 9));
        CHECK_THAT(sent.error().message(), Catch::Contains("send to example.org:9"));
    };
    loop.run(work());
    const auto taken = loop.network.bind_udp(loop.ioc.get_executor(), a->local());
    REQUIRE(!taken);
    CHECK_THAT(taken.error().message(), Catch::Contains("held by process"));
    const auto name =
        loop.network.bind_udp(loop.ioc.get_executor(), Address::tcp("example.org", 0));
    CHECK_THAT(name.error().message(), Catch::Contains("not an IP literal"));
    CHECK(!loop.network.bind_udp(loop.ioc.get_executor(), Address::unix_path("/x")));
}
