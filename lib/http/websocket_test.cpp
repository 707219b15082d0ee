#include "http/websocket.hpp"

#include "base/test.hpp"
#include "net/network.hpp"
#include "net/scope.hpp"
#include "net/test_loop.hpp"

namespace skywire::http {
namespace {

using Opened = Result<std::unique_ptr<net::Stream>>;

struct World {
    ~World() {
        const auto now = loop.context.clock.now();
        loop.run(close(now));
    }
    Task<> close(SteadyTime now) {
        co_await scope.close(loop.context.clock, now, now + std::chrono::seconds(5));
    }

    /// Both ends of an upgraded connection.
    std::pair<std::unique_ptr<net::Stream>, std::unique_ptr<net::Stream>> connect() {
        auto [a, b] = net::make_pipe(loop.context.loop);
        std::optional<Opened> accepted;
        scope.spawn(
            "accept",
            [&, server = std::make_shared<std::unique_ptr<net::Stream>>(std::move(b))]() -> Task<> {
                accepted = co_await accept_websocket(loop.context, std::move(*server), {}, "/dmsg");
            }
        );
        auto opened = loop.run(open_websocket(loop.context, std::move(a), "host", "/dmsg"));
        loop.run_until([&] { return accepted.has_value(); });
        return {std::move(opened.value()), std::move(accepted->value())};
    }

    /// What a server answers to raw bytes.
    std::pair<std::string, Error> refused(const std::string& request) {
        auto [a, b] = net::make_pipe(loop.context.loop);
        loop.run(write(*a, request));
        const auto accepted =
            loop.run(accept_websocket(loop.context, std::move(b), as_vector("G"), "/dmsg"));
        CHECK(accepted.has_error());
        std::string answer(1000, '\0');
        const auto size = loop.run(a->read_some(std::as_writable_bytes(std::span(answer))));
        answer.resize(size ? *size : 0);
        return {answer, accepted.has_error() ? accepted.error() : Error()};
    }

    static Bytes as_vector(std::string_view text) {
        const ByteSpan bytes = as_bytes(text);
        return {bytes.begin(), bytes.end()};
    }
    static Task<> write(net::Stream& stream, std::string text) {
        const auto written = co_await stream.write(as_bytes(text));
        CHECK(written.has_value());
    }

    net::TestLoop loop;
    net::Scope scope{loop.context.loop};
};

Task<> send(net::Stream& stream, const Bytes& bytes) {
    ByteSpan left = bytes;
    for (std::size_t step = 1; !left.empty(); step = step * 3 + 1) {
        const ByteSpan part = left.first(std::min(step, left.size()));
        const std::size_t half = part.size() / 2;
        const auto written = co_await stream.write(part.first(half), part.subspan(half));
        CHECK(written.has_value());
        left = left.subspan(part.size());
    }
}

Task<> receive(net::Stream& stream, Bytes& into, std::size_t size) {
    Bytes buffer(10'000);
    while (into.size() < size) {
        const auto got = co_await stream.read_some(buffer);
        REQUIRE(got.has_value());
        REQUIRE(*got > 0);
        into.insert(into.end(), buffer.begin(), buffer.begin() + std::ptrdiff_t(*got));
    }
}

TEST_CASE("websocket: bytes pass both ways at once, whatever the messages") {
    World world;
    auto [client, server] = world.connect();
    SeededRandom random(1);
    Bytes up(3'000'000);
    random.fill(up);
    Bytes down(2'000'000);
    random.fill(down);
    Bytes received_up;
    Bytes received_down;
    world.scope.spawn("up", [&] { return send(*client, up); });
    world.scope.spawn("down", [&] { return send(*server, down); });
    world.scope.spawn("received", [&] { return receive(*server, received_up, up.size()); });
    world.loop.run(receive(*client, received_down, down.size()));
    world.loop.run_until([&] { return world.scope.size() == 0; });
    CHECK(received_up == up);
    CHECK(received_down == down);
}

TEST_CASE("websocket: the end of one side is the end of the other") {
    World world;
    auto [client, server] = world.connect();
    client->close();
    Bytes buffer(10);
    CHECK(world.loop.run(server->read_some(buffer)).value() == 0);
    CHECK(
        world.loop.run(client->read_some(buffer)).error() == make_error_code(skywire::errc::closed)
    );
    CHECK(world.loop.run(client->write(buffer)).error() == make_error_code(skywire::errc::closed));
}

TEST_CASE("websocket: what is no upgrade for the path is refused and answered") {
    World world;
    const auto [missing, why] =
        world.refused("ET /other HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n");
    CHECK_THAT(missing, Catch::StartsWith("HTTP/1.1 404 Not Found\r\n"));
    CHECK_THAT(why.message(), Catch::Contains("/other"));
    CHECK_THAT(
        world.refused("ET /dmsg HTTP/1.1\r\nHost: a\r\n\r\n").first,
        Catch::StartsWith("HTTP/1.1 426 Upgrade Required\r\n")
    );
    CHECK_THAT(
        world.refused("ARBAGE\x01\r\n\r\n").first, Catch::StartsWith("HTTP/1.1 400 Bad Request\r\n")
    );
    CHECK_THAT(
        world.refused("ET /dmsg HTTP/1.1\r\nX: " + std::string(20'000, 'x')).first,
        Catch::StartsWith("HTTP/1.1 400 Bad Request\r\n")
    );
}

TEST_CASE("websocket: a text message ends the stream") {
    World world;
    auto [a, b] = net::make_pipe(world.loop.context.loop);
    world.loop.run(World::write(
        *a,
        "GET /dmsg HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ));
    auto server =
        world.loop.run(accept_websocket(world.loop.context, std::move(b), {}, "/dmsg")).value();
    std::string answer(1000, '\0');
    const auto size =
        world.loop.run(a->read_some(std::as_writable_bytes(std::span(answer)))).value();
    CHECK_THAT(answer.substr(0, size), Catch::Contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    // FIN and text, masked with zeros, "hi".
    world.loop.run(World::write(*a, std::string("\x81\x82\0\0\0\0hi", 8)));
    Bytes buffer(10);
    CHECK(
        world.loop.run(server->read_some(buffer)).error() ==
        make_error_code(skywire::errc::malformed)
    );
}

}  // namespace
}  // namespace skywire::http
